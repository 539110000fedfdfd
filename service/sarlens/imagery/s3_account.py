"""Who the gateway is to an S3 store: credentials, region and endpoint as boto3's own chain finds them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, NoCredentialsError, ProfileNotFound
from botocore.session import Session
from obstore.exceptions import BaseError
from obstore.store import S3Store

from sarlens.errors import StoreCredentials
from sarlens.imagery.cache import ByteLRU, SingleFlight

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

_OPEN_STORES = 64
_RETRIES = 2
_CONNECT = timedelta(seconds=5)
_TRUSTED = timedelta(minutes=1)
"""How long obstore may use what it is told. It asks again five minutes before the end, so here ten times a second."""


class Account:
    """Opens buckets with the credentials, region and endpoint of the AWS chain; what is given here comes first.

    The chain is the environment, the profile, web identity (IRSA), container and instance roles, and single sign-on.
    boto3 blocks, so it runs in one thread at a time, when a bucket is asked for: first to read the chain, later only
    when the credentials are about to expire. ``anonymous`` signs nothing. ``virtual_hosted`` puts the bucket into the
    host name instead of the path. ``timeout_s`` bounds one answer of the store; retries end after the same time.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        anonymous: bool = False,
        virtual_hosted: bool = False,
        timeout_s: float = 20.0,
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._profile = profile
        self._anonymous = anonymous
        self._virtual_hosted = virtual_hosted
        self._timeout = timedelta(seconds=timeout_s)
        self._chain: _Chain | None = None
        self._stores: ByteLRU[str, S3Store] = ByteLRU(_OPEN_STORES, weigh=lambda store: 1)
        self._flights: SingleFlight[str, _Chain] = SingleFlight()

    async def store(self, bucket: str) -> S3Store:
        """A bucket, ready to be read.

        Raises:
            StoreCredentials: the chain holds no credentials, cannot renew them, or is of no use otherwise.
        """
        try:
            chain = self._chain
            if chain is None or chain.stale:
                chain = await self._flights.run("chain", lambda: asyncio.to_thread(self._consult))
            store = self._stores.get(bucket)
            if store is None:
                store = self._opened(bucket, chain)
                self._stores.put(bucket, store)
        except (BaseError, BotoCoreError, ValueError, OSError) as error:
            trouble = account_trouble(error)
        else:
            return store
        raise StoreCredentials(trouble)  # out here it does not carry along what is said of endpoints and processes

    def list_buckets(self, seconds: float) -> None:
        """Ask the store for its buckets, once and signed; no answer may take longer than that. Blocks.

        Raises:
            BotoCoreError, ClientError, ValueError, OSError: as boto3 does.
        """
        self._consult().list_buckets(seconds)

    def _consult(self) -> _Chain:
        """Read the chain, or renew its credentials. Blocks."""
        if self._chain is None:
            self._chain = _Chain(self._endpoint, self._region, self._profile, anonymous=self._anonymous)
        self._chain.renew()
        return self._chain

    def _opened(self, bucket: str, chain: _Chain) -> S3Store:
        scheme, _, host = chain.endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}" if self._virtual_hosted else chain.endpoint
        config = {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # or obstore takes it from the environment, past what is set here
            "region": chain.region,
            "virtual_hosted_style_request": self._virtual_hosted,
            "skip_signature": self._anonymous,
        }
        client: ClientConfig = {
            "allow_http": scheme == "http",
            "timeout": self._timeout,
            "connect_timeout": min(self._timeout, _CONNECT),
        }
        if chain.root_certificate:
            client["root_certificate"] = chain.root_certificate
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": self._timeout}
        provider = None if self._anonymous else chain.credential
        return S3Store(
            bucket,
            config=cast("S3Config", config),
            client_options=client,
            retry_config=retry,
            credential_provider=provider,
        )


class _Chain:
    """What boto3's chain says, and the credentials that it holds now."""

    def __init__(self, endpoint: str | None, region: str | None, profile: str | None, *, anonymous: bool) -> None:
        core = Session(profile=profile)
        self._session = boto3.Session(botocore_session=core, region_name=region)
        self._anonymous = anonymous
        self._credentials: Credentials | None = None
        self._held: S3Credential = {"access_key_id": "", "secret_access_key": "", "expires_at": None}
        config = Config(signature_version=UNSIGNED) if anonymous else None
        meta = self._session.client("s3", endpoint_url=endpoint, config=config).meta
        self.endpoint = meta.endpoint_url.rstrip("/")
        self.region = meta.region_name
        bundle = core.get_config_variable("ca_bundle")
        self.root_certificate = Path(bundle).read_bytes() if bundle else None

    @property
    def stale(self) -> bool:
        """Whether ``renew`` has something to do."""
        if isinstance(self._credentials, RefreshableCredentials):
            return self._credentials.refresh_needed()
        return self._credentials is None and not self._anonymous

    def list_buckets(self, seconds: float) -> None:
        """Ask for a list of buckets. Blocks."""
        config = Config(
            connect_timeout=seconds,
            read_timeout=seconds,
            retries={"total_max_attempts": 1},
            signature_version=UNSIGNED if self._anonymous else None,
        )
        self._session.client("s3", endpoint_url=self.endpoint, config=config).list_buckets()

    def renew(self) -> None:
        """Find credentials, or refresh those that are about to expire. Blocks."""
        if self._anonymous:
            return
        credentials = self._session.get_credentials()
        frozen = credentials and credentials.get_frozen_credentials()
        if not frozen or not frozen.access_key or not frozen.secret_key:
            raise NoCredentialsError
        self._credentials = credentials
        self._held = {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None,
        }

    def credential(self) -> S3Credential:
        """The credentials of this moment. It is called from the threads of obstore, so it never blocks."""
        return {**self._held, "expires_at": datetime.now(UTC) + _TRUSTED}


def account_trouble(error: Exception) -> str:
    """What is wrong with the gateway's own AWS configuration."""
    match error:
        case NoCredentialsError():
            return "The gateway has no S3 credentials; it looks for them where the AWS tools do, or reads anonymously."
        case ProfileNotFound():
            return "The AWS profile that the gateway is set to use does not exist."
        case _:
            return "The gateway's AWS configuration cannot be used, or its credentials cannot be renewed."
