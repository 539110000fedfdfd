"""Images in S3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import NotModifiedError

from sarlens.errors import SarlensError, SourceNotAllowed, Timeout
from sarlens.imagery.core.cache import BlockCache, LRUCache, SingleFlight
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.sources.block_object import BLOCK, split_blocks
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.imagery.sources.s3_errors import STORE_ERRORS, map_store_error
from sarlens.imagery.sources.s3_object import S3Object, S3ObjectMeta, get_options
from sarlens.imagery.sources.s3_url import S3Url
from sarlens.types.caller import CanRead, allow_all

if TYPE_CHECKING:
    from obstore.store import S3Store

_MAX_CACHED_METAS = 4096
"""Objects whose version is cached."""
_NO_META = S3ObjectMeta("", "", 0, -inf)


class S3Source:
    """Opens ``s3://`` URLs.

    Opening an object fetches its first bytes: one response has size, ETag and the header of the image, and often all
    pixels that a rendering needs. Unlike HEAD, a failed request has a reason. All later reads require that ETag. After
    ``metadata_ttl_s``, a conditional request revalidates the metadata; metadata of a ``versionId`` never expires.

    Args:
        stores: opens buckets.
        blocks: cache of fetched blocks.
        timeout_s: maximum time to open an object in seconds.
        metadata_ttl_s: time in seconds before metadata is revalidated.
        first_read_bytes: bytes fetched to open an object, rounded up to whole blocks.
        buckets: allowed buckets; empty allows all.
    """

    def __init__(
        self,
        stores: S3StoreFactory,
        blocks: BlockCache,
        *,
        timeout_s: float = 20.0,
        metadata_ttl_s: float = 1.0,
        first_read_bytes: int = BLOCK,
        buckets: Collection[str] = (),
    ) -> None:
        self._stores = stores
        self._blocks = blocks
        self._timeout_s = timeout_s
        self._metadata_ttl_s = metadata_ttl_s
        self._first_read_bytes = -(-first_read_bytes // BLOCK) * BLOCK
        self._buckets = frozenset(buckets)
        self._metas: LRUCache[S3Url, S3ObjectMeta] = LRUCache(_MAX_CACHED_METAS, getsizeof=lambda meta: 1)
        self._flights: SingleFlight[S3Url, S3ObjectMeta] = SingleFlight()

    async def open(self, url: str, can_read: CanRead = allow_all) -> ObjectReader:
        """Fetch an object's metadata and first bytes; a store's redirect is never followed.

        Raises:
            BadRequest: the URL doesn't name an object.
            SourceNotAllowed: the bucket isn't allowed.
            ImageNotFound, AccessDenied, StoreCredentials, SourceUnavailable, Timeout: the store's answer.
        """
        s3_url = S3Url.parse(url)
        if self._buckets and s3_url.bucket not in self._buckets:
            raise SourceNotAllowed(f"The bucket {s3_url.bucket} isn't on the list of allowed buckets.")
        fetched: list[int] = []  # stays empty if the caller shares another caller's request
        try:
            async with asyncio.timeout(self._timeout_s):
                store = await self._stores.store(s3_url.bucket)
                meta = await self._flights.run(s3_url, lambda: self._head(store, s3_url, fetched.append))
        except TimeoutError:
            raise Timeout(f"{s3_url} can't be read: the store didn't respond in time.") from None
        return S3Object(store, s3_url, meta, self._blocks, bytes_fetched=sum(fetched), on_changed=self._metas.drop)

    async def _head(self, store: S3Store, s3_url: S3Url, on_fetched: Callable[[int], None]) -> S3ObjectMeta:
        """Metadata of an object, from the cache or the store; ``on_fetched`` gets the number of bytes fetched."""
        cached = self._metas.get(s3_url) or _NO_META
        if cached is not _NO_META and (s3_url.version or monotonic() - cached.seen_at < self._metadata_ttl_s):
            return cached
        mapped: SarlensError | None = None
        options = get_options(s3_url, 0, self._first_read_bytes)
        if cached.etag:
            options["if_none_match"] = cached.etag
        try:
            response = await obstore.get_async(store, s3_url.key, options=options)
            first_bytes = memoryview(await response.bytes_async())
        except NotModifiedError:
            meta = replace(cached, seen_at=monotonic())
        except STORE_ERRORS as error:
            mapped = map_store_error(error, s3_url)
            self._metas.drop(s3_url)
        else:
            meta = S3ObjectMeta.from_store(response.meta, store, s3_url)
            for number, block in enumerate(split_blocks(first_bytes)):
                self._blocks.put((meta.version, number), block)
            on_fetched(len(first_bytes))
        if mapped:
            raise mapped  # outside the handler, so that the store's own words aren't its context
        self._metas.put(s3_url, meta)
        return meta
