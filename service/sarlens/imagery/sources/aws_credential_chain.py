"""The AWS chain of credentials, region and endpoint, as boto3 reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import NoCredentialsError
from botocore.session import Session
from obstore.auth.boto3 import Boto3CredentialProvider

if TYPE_CHECKING:
    from obstore.store import S3Credential
    from types_boto3_s3 import S3Client

_CREDENTIAL_TTL = timedelta(minutes=1)
"""Lifetime of a credential for obstore, which renews credentials five minutes early: in effect ten times a second."""


class AwsCredentialChain:
    """boto3's credential chain, read by obstore's provider, with credentials that are returned without blocking."""

    def __init__(self, endpoint: str | None, region: str | None, profile: str | None, *, anonymous: bool) -> None:
        session = Session(profile=profile)
        self._session = boto3.Session(botocore_session=session, region_name=region)
        self._anonymous = anonymous
        self._provider: Boto3CredentialProvider | None = None
        self._credential: S3Credential = {"access_key_id": "", "secret_access_key": "", "expires_at": None}
        config = Config(signature_version=UNSIGNED) if anonymous else None
        meta = self._session.client("s3", endpoint_url=endpoint, config=config).meta
        self.endpoint = meta.endpoint_url.rstrip("/")
        self.region = meta.region_name
        ca_bundle = session.get_config_variable("ca_bundle")
        self.root_certificate = Path(ca_bundle).read_bytes() if ca_bundle else None

    @property
    def needs_refresh(self) -> bool:
        """Whether credentials are missing or about to expire."""
        if self._provider is None:
            return not self._anonymous
        credentials = self._provider.credentials
        return isinstance(credentials, RefreshableCredentials) and credentials.refresh_needed()

    def client(
        self,
        connect_timeout: timedelta,
        read_timeout: timedelta,
        *,
        max_retries: int,
        addressing_style: Literal["virtual", "path"],
    ) -> S3Client:
        """Open a client that renews its credentials itself. Blocks."""
        config = Config(
            connect_timeout=connect_timeout.total_seconds(),
            read_timeout=read_timeout.total_seconds(),
            retries={"total_max_attempts": 1 + max_retries},
            s3={"addressing_style": addressing_style},
            request_checksum_calculation="when_required",
            signature_version=UNSIGNED if self._anonymous else None,
        )
        return self._session.client("s3", endpoint_url=self.endpoint, config=config)

    def list_buckets(self, timeout_s: float) -> None:
        """Send one request for the list of buckets. Blocks."""
        config = Config(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            retries={"total_max_attempts": 1},
            signature_version=UNSIGNED if self._anonymous else None,
        )
        self._session.client("s3", endpoint_url=self.endpoint, config=config).list_buckets()

    def refresh(self) -> None:
        """Find credentials, or renew those that are about to expire. Blocks.

        Raises:
            NoCredentialsError: the chain has none.
            BotoCoreError: they can't be renewed.
        """
        if self._anonymous:
            return
        if self._session.get_credentials() is None:
            raise NoCredentialsError
        provider = self._provider or Boto3CredentialProvider(self._session, ttl=_CREDENTIAL_TTL)
        credential = provider()
        if not (credential["access_key_id"] and credential["secret_access_key"]):
            raise NoCredentialsError
        self._provider, self._credential = provider, credential

    def credential(self) -> S3Credential:
        """The current credentials. obstore calls this in its own threads, so it never blocks."""
        return {**self._credential, "expires_at": datetime.now(UTC) + _CREDENTIAL_TTL}
