"""Whole objects of S3 that aren't images: read as a stream, or deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection

import obstore

from sarlens.errors import PayloadTooLarge, SarlensError, SourceNotAllowed, Timeout
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.imagery.sources.s3_errors import STORE_ERRORS, map_store_error
from sarlens.imagery.sources.s3_url import S3Url

_CHUNK_BYTES = 2**20


class S3Files:
    """Reads and deletes objects at ``s3://`` URLs."""

    def __init__(self, stores: S3StoreFactory, *, timeout_s: float = 20.0, buckets: Collection[str] = ()) -> None:
        """Create the client.

        Args:
            stores: opens buckets.
            timeout_s: maximum time in seconds until the next part of an object arrives.
            buckets: buckets that may be read; empty allows all.
        """
        self._stores = stores
        self._timeout_s = timeout_s
        self._buckets = frozenset(buckets)

    async def read(self, url: str, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield an object in parts of about 1 MiB.

        Raises:
            BadRequest: the URL doesn't name an object.
            SourceNotAllowed: the bucket may not be read.
            PayloadTooLarge: the object has more than ``max_bytes`` bytes.
            ImageNotFound, AccessDenied, StoreCredentials, SourceUnavailable, Timeout: the store's answer.
        """
        s3_url = S3Url.parse(url)
        if self._buckets and s3_url.bucket not in self._buckets:
            raise SourceNotAllowed(f"The bucket {s3_url.bucket} isn't on the list of allowed buckets.")
        store = await self._stores.store(s3_url.bucket)
        mapped: SarlensError | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await obstore.get_async(
                    store, s3_url.key, options={"version": s3_url.version} if s3_url.version else {}
                )
            if (size := response.meta["size"]) > max_bytes:
                raise PayloadTooLarge(f"{s3_url} has {size} bytes; the limit is {max_bytes}.")
            stream = aiter(response.stream(_CHUNK_BYTES))
            while True:
                async with asyncio.timeout(self._timeout_s):
                    part = await anext(stream, None)
                if part is None:
                    return
                yield bytes(part)
        except TimeoutError:
            mapped = Timeout(f"{s3_url} can't be read: the store didn't respond in time.")
        except STORE_ERRORS as error:
            mapped = map_store_error(error, s3_url)
        raise mapped  # outside the handler, so that the store's own words aren't its context

    async def delete(self, url: str) -> None:
        """Delete an object, if it exists.

        Raises:
            AccessDenied, StoreCredentials, SourceUnavailable, Timeout: the store's answer.
        """
        s3_url = S3Url.parse(url)
        store = await self._stores.store(s3_url.bucket)
        mapped: SarlensError | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                await obstore.delete_async(store, s3_url.key)
        except FileNotFoundError:
            return
        except TimeoutError:
            mapped = Timeout(f"{s3_url} can't be deleted: the store didn't respond in time.")
        except STORE_ERRORS as error:
            mapped = map_store_error(error, s3_url, "deleted")
        if mapped is not None:
            raise mapped
