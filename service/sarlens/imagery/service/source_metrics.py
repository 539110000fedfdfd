"""Metrics of image sources: results of opening and reading, and bytes fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sarlens.errors import (
    AccessDenied,
    ImageNotFound,
    SourceChanged,
    SourceUnavailable,
    Timeout,
)
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import CanRead, allow_all
from sarlens.types.image_request import url_scheme

_SOURCE_ERRORS = (AccessDenied, ImageNotFound, SourceChanged, SourceUnavailable, Timeout)
"""Errors of a source; all others are errors of the request or of the image."""


class SourceMetrics:
    """Counts requests to sources by scheme and result, and the bytes that they return."""

    def __init__(self, sources: SourceRegistry, metrics: Metrics) -> None:
        self._sources = sources
        self._metrics = metrics

    async def open(self, location: str | bytes, can_read: CanRead = allow_all) -> ObjectReader:
        """Open an object and count the result; raises as ``SourceRegistry.open``."""
        name = location if isinstance(location, str) else "data:"
        with self.count_errors(name):
            reader = await self._sources.open(location, can_read)
        self._metrics.source.labels(url_scheme(name), "found").inc()
        return reader

    @contextmanager
    def count_errors(self, name: str) -> Iterator[None]:
        """Count an error of the source behind a URL, and raise it again."""
        try:
            yield
        except _SOURCE_ERRORS as error:
            self._metrics.source.labels(url_scheme(name), error.code).inc()
            raise

    @contextmanager
    def count_bytes(self, readers: Sequence[ObjectReader]) -> Iterator[None]:
        """Count the bytes that readers fetch inside the context, also if it fails."""
        before = [reader.bytes_fetched for reader in readers]
        try:
            yield
        finally:
            for reader, start in zip(readers, before, strict=True):
                self._record(reader, reader.bytes_fetched - start)

    def record_opened(self, readers: Sequence[ObjectReader]) -> None:
        """Count all bytes that newly opened readers have fetched so far."""
        for reader in readers:
            self._record(reader, reader.bytes_fetched)

    def _record(self, reader: ObjectReader, count: int) -> None:
        self._metrics.fetched_bytes.labels(url_scheme(reader.name)).inc(count)
