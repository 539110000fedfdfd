"""One version of an object in S3, read in blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import obstore

from sarlens.errors import SourceUnavailable
from sarlens.imagery.core.cache import BlockCache
from sarlens.imagery.sources.block_object import BlockObject
from sarlens.imagery.sources.s3_errors import STORE_ERRORS, map_store_error, source_changed
from sarlens.imagery.sources.s3_url import S3Url
from sarlens.observability import tracing

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import S3Store


@dataclass(frozen=True, slots=True)
class S3ObjectMeta:
    """Metadata of an object."""

    version: str
    """SHA-256 of endpoint, bucket, key, ``versionId`` and ETag."""
    etag: str
    """Value of the ETag header."""
    size: int
    """Length in bytes."""
    seen_at: float
    """Time of the store's last confirmation, in seconds of the monotonic clock."""

    @classmethod
    def from_store(cls, meta: ObjectMeta, store: S3Store, s3_url: S3Url) -> S3ObjectMeta:
        """Metadata of a response.

        Raises:
            SourceUnavailable: the store sends no ETag.
        """
        etag = meta["e_tag"]
        if not etag:
            raise SourceUnavailable(f"{s3_url} can't be read: the store sends no ETag to identify versions.")
        parts = (store.config["endpoint"], s3_url.bucket, s3_url.key, meta["version"] or "", etag)
        version = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return cls(f"s3:{version}", etag, meta["size"], monotonic())


class S3Object(BlockObject):
    """One version of an object; implements ``ObjectReader``. It is opened in the event loop that runs its requests."""

    def __init__(
        self,
        store: S3Store,
        s3_url: S3Url,
        meta: S3ObjectMeta,
        blocks: BlockCache,
        *,
        bytes_fetched: int,
        on_changed: Callable[[S3Url], None],
    ) -> None:
        super().__init__(str(s3_url), meta.version, meta.size, blocks, bytes_fetched)
        self._store = store
        self._s3_url = s3_url
        self._etag = meta.etag
        self._on_changed = on_changed

    async def _get(self, start: int, stop: int) -> memoryview:
        started_at = perf_counter()
        options = get_options(self._s3_url, start, stop)
        options["if_match"] = self._etag
        try:
            with tracing.span("fetch") as span:
                response = await obstore.get_async(self._store, self._s3_url.key, options=options)
                data = memoryview(await response.bytes_async())
                span.set_attributes({"sarlens.fetched_bytes": len(data)})
        except STORE_ERRORS as error:
            mapped = map_store_error(error, self._s3_url)
        else:
            # A store that ignores If-Match returns the current version.
            if response.meta["e_tag"] == self._etag and len(data) == stop - start:
                return data
            mapped = source_changed(self._s3_url)
        finally:
            self.fetch_seconds += perf_counter() - started_at
        self._on_changed(self._s3_url)
        raise mapped


def get_options(s3_url: S3Url, start: int, stop: int) -> GetOptions:
    """Options for the bytes from ``start`` to ``stop`` of the version in a URL."""
    options: GetOptions = {"range": (start, stop)}
    if s3_url.version:
        options["version"] = s3_url.version
    return options
