"""A source of objects in memory that records the URLs it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sarlens.errors import ImageNotFound
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits, InMemoryObject, ObjectReader, content_version
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.formats.file_headers import FileHeaders
from sarlens.imagery.products.image_resolver import ImageResolver
from sarlens.imagery.service.image_service import ImageService
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import CanRead, allow_all

MAX_INLINE_BYTES = 2**24


@dataclass
class InMemoryStore:
    """Objects by URL; implements ``ObjectSource``."""

    objects: dict[str, bytes] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    """URLs in the order in which they were opened."""

    async def open(self, url: str, can_read: CanRead = allow_all) -> ObjectReader:
        """The object; raises ImageNotFound if there is none."""
        self.opened.append(url)
        if url not in self.objects:
            raise ImageNotFound(f"{url} doesn't exist.")
        data = self.objects[url]
        return InMemoryObject(url, content_version(data), data, bytes_fetched=len(data))

    def put_folder(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Add the files of a product."""
        self.objects |= {f"{folder}/{path}": data for path, data in files.items()}

    @property
    def registry(self) -> SourceRegistry:
        """A registry with this store for s3: and with data: URLs."""
        data_urls = DataUrlSource(MAX_INLINE_BYTES)
        return SourceRegistry({"s3": self, "data": data_urls}, data_urls)

    def resolver(self, threads: ImageThreads) -> ImageResolver:
        """A resolver of the images in this store."""
        return ImageResolver(self.registry.open, threads, FileHeaders(DecodeLimits()))

    def image_service(
        self, threads: ImageThreads, metrics: Metrics | None = None, *, timeout_s: float = 60.0
    ) -> ImageService:
        """An image service with a cache of 1 MiB."""
        cache: LRUCache[str, RenderedImage] = LRUCache(2**20, getsizeof=lambda rendered: len(rendered.data))
        return ImageService(self.registry, cache, threads, DecodeLimits(), metrics or Metrics(), timeout_s=timeout_s)
