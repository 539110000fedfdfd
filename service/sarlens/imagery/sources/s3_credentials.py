"""S3 stores with credentials, region and endpoint of the AWS chain."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from botocore.exceptions import BotoCoreError, NoCredentialsError, ProfileNotFound
from obstore.exceptions import BaseError
from obstore.store import S3Store

from sarlens.errors import StoreCredentials
from sarlens.imagery.core.cache import LRUCache, SingleFlight

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config
    from types_boto3_s3 import S3Client

    from sarlens.imagery.sources.aws_credential_chain import AwsCredentialChain

_MAX_OPEN_STORES = 64
_MAX_RETRIES = 2
_CONNECT_TIMEOUT = timedelta(seconds=5)


class S3StoreFactory:
    """Opens buckets with the credentials, region and endpoint of the AWS chain; the arguments override the chain.

    The chain is the environment, the profile, web identity (IRSA), container and instance roles, and single sign-on.
    boto3 blocks, so the chain is read in one thread, before a bucket is opened. Credentials are renewed in the same
    way when they are about to expire.

    Args:
        endpoint: URL of an S3 server other than AWS.
        region: AWS region.
        profile: profile of the AWS configuration files.
        anonymous: send unsigned requests.
        requester_pays: accept the costs of reads from buckets whose requesters pay.
        virtual_hosted: put the bucket into the host name in place of the path.
        timeout_s: maximum time of one response in seconds; retries end after the same time.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        anonymous: bool = False,
        requester_pays: bool = False,
        virtual_hosted: bool = False,
        timeout_s: float = 20.0,
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._profile = profile
        self._anonymous = anonymous
        self._requester_pays = requester_pays
        self._virtual_hosted = virtual_hosted
        self._timeout = timedelta(seconds=timeout_s)
        self._chain: AwsCredentialChain | None = None
        self._stores: LRUCache[str, S3Store] = LRUCache(_MAX_OPEN_STORES, getsizeof=lambda store: 1)
        self._flights: SingleFlight[str, AwsCredentialChain] = SingleFlight()
        self._client: S3Client | None = None
        self._clients: SingleFlight[str, S3Client] = SingleFlight()

    async def store(self, bucket: str) -> S3Store:
        """The store of a bucket.

        Raises:
            StoreCredentials: the chain has no credentials, can't renew them, or isn't valid.
        """
        try:
            chain = self._chain
            if chain is None or chain.needs_refresh:
                chain = await self._flights.run("chain", lambda: asyncio.to_thread(self._refresh))
            store = self._stores.get(bucket)
            if store is None:
                store = self._open_store(bucket, chain)
                self._stores.put(bucket, store)
        except (BaseError, BotoCoreError, ValueError, OSError) as error:
            message = describe_credential_error(error)
        else:
            return store
        raise StoreCredentials(message)  # outside the handler: its context would name endpoints and processes

    async def client(self) -> S3Client:
        """A boto3 client, for conditional multipart uploads. Its methods block.

        Raises:
            StoreCredentials: the chain has no credentials, can't renew them, or isn't valid.
        """
        try:
            return self._client or await self._clients.run("client", lambda: asyncio.to_thread(self._open_client))
        except (BotoCoreError, ValueError, OSError) as error:
            message = describe_credential_error(error)
        raise StoreCredentials(message)

    def _open_client(self) -> S3Client:
        """Blocks."""
        self._client = self._refresh().client(
            min(self._timeout, _CONNECT_TIMEOUT),
            self._timeout,
            max_retries=_MAX_RETRIES,
            addressing_style="virtual" if self._virtual_hosted else "path",
        )
        return self._client

    def list_buckets(self, timeout_s: float) -> None:
        """Send one signed request for the list of buckets. Blocks.

        Raises:
            BotoCoreError, ClientError, ValueError, OSError: as boto3 does.
        """
        self._refresh().list_buckets(timeout_s)

    def _refresh(self) -> AwsCredentialChain:
        """Read the chain, or renew its credentials. Blocks; the first call loads boto3, which takes 0.1 s."""
        from sarlens.imagery.sources.aws_credential_chain import AwsCredentialChain  # noqa: PLC0415

        if self._chain is None:
            self._chain = AwsCredentialChain(self._endpoint, self._region, self._profile, anonymous=self._anonymous)
        self._chain.refresh()
        return self._chain

    def _open_store(self, bucket: str, chain: AwsCredentialChain) -> S3Store:
        scheme, _, host = chain.endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}" if self._virtual_hosted else chain.endpoint
        config = {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # else obstore prefers the environment variable
            "region": chain.region,
            "virtual_hosted_style_request": self._virtual_hosted,
            "skip_signature": self._anonymous,
            "request_payer": self._requester_pays,
        }
        client: ClientConfig = {
            "allow_http": scheme == "http",
            "timeout": self._timeout,
            "connect_timeout": min(self._timeout, _CONNECT_TIMEOUT),
        }
        if chain.root_certificate:
            client["root_certificate"] = chain.root_certificate
        retry: RetryConfig = {"max_retries": _MAX_RETRIES, "retry_timeout": self._timeout}
        return S3Store(
            bucket,
            config=cast("S3Config", config),
            client_options=client,
            retry_config=retry,
            credential_provider=None if self._anonymous else chain.credential,
        )


def describe_credential_error(error: Exception) -> str:
    """One sentence about an error of the gateway's own AWS configuration, without its secrets."""
    match error:
        case NoCredentialsError():
            return "The gateway has no S3 credentials. Configure the AWS credential chain, or anonymous access."
        case ProfileNotFound():
            return "The AWS profile that the gateway is configured to use doesn't exist."
        case _:
            return "The gateway's AWS configuration isn't valid, or its credentials can't be renewed."
