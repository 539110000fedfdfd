"""A bucket that stops answering in the middle of an image delays no other image, and callers that leave free it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import numpy as np

from imagery.object_fixtures import geotiff, speckled
from sarlens.imagery.core.cache import LRUCache
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
from support.rendering import resolve_and_render

SCENE = geotiff((1000 * speckled((600, 600))).astype(np.uint16))
_RANGE = re.compile(rb"range: bytes=(\d+)-(\d+)", re.IGNORECASE)


@dataclass
class SlowStore:
    """A store that answers each first block, and later blocks of the bucket ``slow`` after ``latency_s``."""

    latency_s: float
    slow_reads: int = 0
    closed_reads: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request of a connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, last = (int(number) for number in (_RANGE.search(head) or [b"0", b"0"]).groups())  # type: ignore[union-attr]
        if b"/slow/" in head and first:
            self.slow_reads += 1
            closed = asyncio.ensure_future(reader.read())
            done, _ = await asyncio.wait({closed}, timeout=self.latency_s)
            self.closed_reads += bool(done)
        body = SCENE[first : last + 1]
        headers = f'ETag: "v"\r\nContent-Range: bytes {first}-{first + len(body) - 1}/{len(SCENE)}\r\n'
        dates = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: close\r\n"
        status = f"HTTP/1.1 206 Partial Content\r\n{headers}{dates}Content-Length: {len(body)}\r\n\r\n"
        writer.write(status.encode() + body)
        writer.close()


@asynccontextmanager
async def slow_store(latency_s: float) -> AsyncIterator[tuple[SlowStore, ImageService]]:
    """A slow store, and an image service of two cores that reads it."""
    store = SlowStore(latency_s)
    async with await asyncio.start_server(store.serve, "127.0.0.1", 0) as server:
        stores = S3StoreFactory(
            endpoint=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", region="x", anonymous=True
        )
        data_urls = DataUrlSource(2**20)
        sources = SourceRegistry({"s3": S3Source(stores, LRUCache(2**24, getsizeof=len))}, data_urls)
        cache: LRUCache[str, RenderedImage] = LRUCache(0, getsizeof=lambda rendered: len(rendered.data))
        threads = ImageThreads(max_decodes=2, max_reads=8, max_reads_per_bucket=2)
        yield store, ImageService(sources, cache, threads, DecodeLimits(), Metrics(), timeout_s=30)
        threads.close()


async def render(service: ImageService, location: str | bytes) -> RenderedImage:
    """Render an image of 600 x 600 pixels."""
    return (await resolve_and_render(service, ImageRequest(location), 64, ANONYMOUS))[1]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_slow_bucket_delays_no_other_image() -> None:
    """While 6 images of a bucket wait 20 s for a block, images of another bucket and in memory take less than 10 s."""
    async with slow_store(20) as (store, service):
        slow = [asyncio.create_task(render(service, f"s3://slow/{number}.tif")) for number in range(6)]
        await until(lambda: store.slow_reads == 2)
        started = monotonic()
        rendered = [await render(service, location) for location in ("s3://fast/a.tif", "s3://fast/b.tif", SCENE)]
        assert monotonic() - started < 10
        assert (len({image.data for image in rendered}), store.slow_reads, store.closed_reads) == (1, 2, 0)
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_callers_that_leave_end_their_reads() -> None:
    """After 6 callers left, both connections in flight are closed, and none of the 4 queued images was read."""
    async with slow_store(20) as (store, service):
        slow = [asyncio.create_task(render(service, f"s3://slow/{number}.tif")) for number in range(6)]
        await until(lambda: store.slow_reads == 2)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await until(lambda: store.closed_reads == 2)
        store.latency_s = 0
        assert (await render(service, "s3://slow/7.tif")).width == 64
        assert store.slow_reads == 2 + 1
