"""The image stage of the gateway in this process: S3, decoding and rendering, with empty caches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import process_time

from sarlens.imagery.core.cache import BlockCache, LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams


@contextmanager
def image_service(endpoint: str) -> Iterator[ImageService]:
    """Yield an image service that reads an S3 server; its threads end with the context."""
    blocks: BlockCache = LRUCache(256 * 2**20, getsizeof=len)
    rendered_cache: LRUCache[str, RenderedImage] = LRUCache(256 * 2**20, getsizeof=lambda image: len(image.data))
    cores = os.cpu_count() or 1
    threads = ImageThreads(max_decodes=cores, max_reads=16 * cores, max_reads_per_bucket=4 * cores)
    sources = SourceRegistry({"s3": S3Source(S3StoreFactory(endpoint=endpoint), blocks)}, DataUrlSource(2**20))
    try:
        yield ImageService(sources, rendered_cache, threads, DecodeLimits(), Metrics())
    finally:
        threads.close()


async def new_image_ms(endpoint: str, urls: Sequence[str], model_side: int) -> float:
    """Return the CPU milliseconds of this process per image that it reads and renders for the first time.

    The first URL opens the connection to S3 and isn't counted.
    """
    with image_service(endpoint) as images:
        first, *rest = [ImageRequest(url, RenderParams()) for url in urls]
        await images.render(await images.resolve(first, model_side, ANONYMOUS))
        before = process_time()
        for request in rest:
            await images.render(await images.resolve(request, model_side, ANONYMOUS))
        return 1000 * (process_time() - before) / len(rest)
