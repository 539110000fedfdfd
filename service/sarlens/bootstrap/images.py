"""Construction of what reads and renders images."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import NamedTuple

from sarlens.imagery.core.cache import BlockCache, LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.imagery.service.libraries import load_libraries
from sarlens.imagery.service.scene_service import SceneService
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.https_url import NoHttps
from sarlens.imagery.sources.registry import ObjectSource, SourceRegistry
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.observability.metrics import Metrics
from sarlens.settings import RenderSettings, Settings
from sarlens.workers.pool import WorkerPool

_READS_PER_DECODE = 16


class ImageServices(NamedTuple):
    """What reads and renders images."""

    images: ImageService
    """Images of requests."""
    scenes: SceneService
    """Whole scenes and their tiles."""
    threads: ImageThreads
    """Threads that read, decode and render them."""


async def open_image_services(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> ImageServices:
    """Open the sources of images, and the threads and the cache that render them."""
    cache: LRUCache[str, RenderedImage] = LRUCache(
        settings.cache.max_rendered_bytes, getsizeof=lambda rendered: len(rendered.data)
    )
    threads = _image_threads(settings.render)
    stack.callback(threads.close)
    limit = settings.limit
    limits = DecodeLimits(
        scene_pixels=limit.max_scene_pixels, window_pixels=limit.max_window_pixels, bitmap_bytes=limit.max_object_bytes
    )
    sources = await _open_sources(settings, stack)
    images = ImageService(sources, cache, threads, limits, metrics, timeout_s=settings.render.image_timeout_s)
    return ImageServices(images, SceneService(images, cache, limits), threads)


def _image_threads(render: RenderSettings) -> ImageThreads:
    max_decodes = render.max_threads or os.cpu_count() or 1
    max_reads = render.max_reads or _READS_PER_DECODE * max_decodes
    return ImageThreads(
        max_decodes=max_decodes,
        max_reads=max_reads,
        max_reads_per_bucket=max(1, int(max_reads * render.max_bucket_read_ratio)),
        max_decode_cpu_s=render.max_decode_cpu_s,
    )


async def _open_sources(settings: Settings, stack: AsyncExitStack) -> SourceRegistry:
    s3, max_bytes = settings.s3, settings.limit.max_object_bytes
    blocks: BlockCache = LRUCache(settings.cache.max_range_bytes, getsizeof=len)
    https_source = await _open_https(settings, blocks, stack)
    s3_source = S3Source(
        make_store_factory(settings),
        blocks,
        timeout_s=s3.request_timeout_s,
        metadata_ttl_s=s3.metadata_ttl_s,
        first_read_bytes=s3.first_read_bytes,
        buckets=s3.buckets,
    )
    data_source = DataUrlSource(max_bytes)
    sources: dict[str, ObjectSource] = {"s3": s3_source, "https": https_source, "data": data_source}
    return SourceRegistry(sources, data_source, public={"https", "s3"} if s3.anonymous else {"https"})


async def _open_https(settings: Settings, blocks: BlockCache, stack: AsyncExitStack) -> ObjectSource:
    hosts, timeout_s = settings.https.hosts, settings.https.request_timeout_s
    if not hosts:
        return NoHttps()
    from sarlens.imagery.sources.https import open_https

    source = open_https(blocks, hosts=hosts, max_bytes=settings.limit.max_object_bytes, timeout_s=timeout_s)
    return await stack.enter_async_context(source)


def make_store_factory(settings: Settings) -> S3StoreFactory:
    """Return the factory of connections to S3."""
    s3 = settings.s3
    return S3StoreFactory(
        endpoint=s3.endpoint,
        region=s3.region,
        profile=s3.profile,
        anonymous=s3.anonymous,
        requester_pays=s3.requester_pays,
        timeout_s=s3.request_timeout_s,
    )


async def preload_libraries(pool: WorkerPool) -> None:
    """Load the libraries of images when the gateway is ready, so that the first image doesn't wait for them."""
    while not pool.ready:
        await pool.wait_for_change()
    await asyncio.to_thread(load_libraries)
