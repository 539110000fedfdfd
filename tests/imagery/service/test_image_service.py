"""The image service: what is fetched, rendered, cached and counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from rasterio.transform import from_origin

from imagery.object_fixtures import encoded, geotiff, speckled
from sarlens.errors import ImageNotFound, NoValidPixels, SourceChanged, Timeout
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_task import fetch_blocking
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import PAGE_BYTES, DecodeLimits, ObjectReader
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.raster import Raster, RenderedImage
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.core.source_image import Measurement, SourceImage
from sarlens.imagery.formats.reader import read_source_image
from sarlens.imagery.service.image_service import ImageService
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import ANONYMOUS, CanRead, allow_all
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.in_memory_store import InMemoryStore
from support.rendering import resolve_and_render
from support.sentinel1_safe import DUAL, SAFE, small_product

SIDE = 200
URL = "s3://scenes/port.tif"
DEGREES = {"crs": "EPSG:4326", "transform": from_origin(10, 50, 0.001, 0.001)}
SCENE = geotiff((1000 * speckled((SIDE, SIDE))).astype(np.uint16), **DEGREES)


@dataclass
class RangeObject:
    """An object that counts every read as a fetch, on top of ``opening`` bytes."""

    name: str
    version: str
    data: bytes
    bytes_fetched: int = 0
    fetch_seconds: float = 0.0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the object."""
        data = self.data[start : start + length]
        self.bytes_fetched += len(data)
        return data


class RangeStore(InMemoryStore):
    """A store whose objects are read by ranges; opening one fetches 7 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[RangeObject] = []

    async def open(self, url: str, can_read: CanRead = allow_all) -> ObjectReader:
        """The object."""
        opened = await super().open(url)
        reader = RangeObject(url, opened.version, self.objects[url], bytes_fetched=7)
        self.readers.append(reader)
        return reader


@pytest.fixture
def store() -> RangeStore:
    """A store with one scene."""
    store = RangeStore()
    store.objects[URL] = SCENE
    return store


@pytest.fixture
def metrics() -> Metrics:
    """Metrics from zero."""
    return Metrics()


@pytest.fixture
def image_service(store: RangeStore, threads: ImageThreads, metrics: Metrics) -> ImageService:
    """An image service that reads the store."""
    return store.image_service(threads, metrics)


def count(counter: Any, *labels: str) -> float:
    """The value of a counter."""
    return float(counter.labels(*labels)._value.get())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded, one for each time."""
    names: list[str] = []

    def counted(source_image: SourceImage, *args: Any) -> Raster | RenderedImage:
        names.append(source_image.name)
        return read_source_image(source_image, *args)

    monkeypatch.setattr("sarlens.imagery.service.renderer.read_source_image", counted)
    return names


async def test_an_image_goes_from_request_to_rendering(image_service: ImageService) -> None:
    """A resolved image has version, window and id, and no pixels yet; the rendered image has bytes, type and size."""
    render = RenderParams(window=(20, 40, 100, 50), size=64)
    resolved = await image_service.resolve(ImageRequest(URL, render), 448, ANONYMOUS)
    assert (resolved.location, resolved.source_image.name, resolved.acquisition) == (URL, URL, None)
    assert (resolved.side, resolved.pixels, resolved.public) == (64, 64 * 64, False)
    assert len(resolved.id) == 64
    image = await image_service.render(resolved)
    assert (image.media_type, image.width, image.height) == ("image/png", 64, 32)
    assert image.data.startswith(b"\x89PNG")


async def test_concurrent_requests_render_once(
    image_service: ImageService, metrics: Metrics, store: RangeStore, decoded: list[str]
) -> None:
    """Forty requests at once decode the scene once: 40 misses, no hit; the next one is a hit and fetches nothing."""
    resolved = await asyncio.gather(*(image_service.resolve(ImageRequest(URL), 448, ANONYMOUS) for _ in range(40)))
    images = await asyncio.gather(*map(image_service.render, resolved))
    assert len({image.data for image in images}) == 1
    assert (decoded, count(metrics.cache, "miss"), count(metrics.cache, "hit")) == ([URL], 40, 0)
    fetched = sum(reader.bytes_fetched for reader in store.readers)
    assert count(metrics.fetched_bytes, "s3") == fetched > 40 * 7
    assert await image_service.render(resolved[0]) == images[0]
    assert (decoded, count(metrics.cache, "miss"), count(metrics.cache, "hit")) == ([URL], 40, 1)
    assert count(metrics.fetched_bytes, "s3") == fetched


async def test_the_place_of_a_picture_outlives_its_bytes(image_service: ImageService, decoded: list[str]) -> None:
    """A window of 40 x 20 pixels, reduced to 20, has its frame from one rendering, also without the bytes."""
    request = ImageRequest(URL, RenderParams(window=(8, 4, 40, 20), size=20))
    resolved = await image_service.resolve(request, 64, ANONYMOUS)
    expected = PictureFrame(Window(8, 4, 40, 20), 20, 10)
    assert await image_service.frame(resolved) == expected
    image_service._cache.drop(resolved.id)
    assert await image_service.frame(resolved) == expected
    assert len(decoded) == 1


async def test_all_fetched_bytes_are_counted(image_service: ImageService, metrics: Metrics, store: RangeStore) -> None:
    """Bytes of the manifest, of headers and of pixels count, each once, for a product that is rendered by bbox."""
    store.put_folder(SAFE, small_product(DUAL))
    render = RenderParams(bbox=(4.002, 51.994, 4.012, 51.998), bands=("VV", "VH"), calibration="sigma0")
    await resolve_and_render(image_service, ImageRequest(SAFE, render), 448, ANONYMOUS)
    assert len(store.readers) == 1 + 2 * 4
    assert count(metrics.fetched_bytes, "s3") == sum(reader.bytes_fetched for reader in store.readers)


async def test_results_of_sources_are_counted(
    image_service: ImageService, metrics: Metrics, store: RangeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that opens counts as found, a missing one by the code of its error, a change while it is read too."""
    await resolve_and_render(image_service, ImageRequest(URL), 448, ANONYMOUS)
    with pytest.raises(ImageNotFound):
        await image_service.resolve(ImageRequest("s3://scenes/nothing.tif"), 448, ANONYMOUS)
    resolved = await image_service.resolve(ImageRequest(URL, RenderParams(filter="none")), 448, ANONYMOUS)

    def changed(*_: Any) -> bytes:
        raise SourceChanged("It changed.")

    monkeypatch.setattr(RangeObject, "read", changed)
    with pytest.raises(SourceChanged):
        await image_service.render(resolved)
    results = {result: count(metrics.source, "s3", result) for result in ("found", "image_not_found", "source_changed")}
    assert results == {"found": 2, "image_not_found": 1, "source_changed": 1}


async def test_a_window_has_one_id_in_pixels_and_on_the_map(image_service: ImageService) -> None:
    """A window, its bbox and its polygon resolve to the same pixels under the same id."""
    corners = [(10.02, 49.96), (10.02, 49.9), (10.05, 49.9), (10.05, 49.96), (10.02, 49.96)]
    polygon = {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}
    regions = [{"window": [20, 40, 30, 60]}, {"bbox": [10.02, 49.9, 10.05, 49.96]}, {"polygon": polygon}]
    resolved = [
        await image_service.resolve(ImageRequest(URL, RenderParams.model_validate(region)), 448, ANONYMOUS)
        for region in regions
    ]
    assert [image.render.window for image in resolved] == [(20, 40, 30, 60)] * 3
    assert len({image.id for image in resolved}) == 1


async def test_an_expected_version_is_enforced(image_service: ImageService, store: RangeStore) -> None:
    """An image of the expected version is resolved; after it was replaced, the request is rejected."""
    version = (await image_service.resolve(ImageRequest(URL), 448, ANONYMOUS)).source_image.version
    assert (await image_service.resolve(ImageRequest(URL), 448, ANONYMOUS, version)).source_image.version == version
    store.objects[URL] = encoded(np.zeros((8, 8), dtype=np.uint8))
    with pytest.raises(SourceChanged) as rejected:
        await image_service.resolve(ImageRequest(URL), 448, ANONYMOUS, version)
    assert rejected.value.message == f"{URL} has changed: the requested version is no longer there."


async def test_an_error_is_not_cached(image_service: ImageService, store: RangeStore, decoded: list[str]) -> None:
    """A scene without valid pixels fails again for each request, and a fixed one renders."""
    store.objects[URL] = geotiff(np.zeros((64, 64), dtype=np.uint16))
    resolved = await image_service.resolve(ImageRequest(URL), 448, ANONYMOUS)
    for _ in range(2):
        with pytest.raises(NoValidPixels):
            await image_service.render(resolved)
    assert len(decoded) == 2
    store.objects[URL] = SCENE
    assert (await resolve_and_render(image_service, ImageRequest(URL), 448, ANONYMOUS))[1].width == SIDE


@dataclass
class HangingObject(RangeObject):
    """An object whose reads never end; ``started`` and ``aborted`` count them."""

    started: int = 0
    aborted: int = 0

    def read(self, start: int, length: int) -> bytes:
        """Wait in the event loop."""
        return fetch_blocking(self._get(), self.loop)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def _get(self) -> bytes:
        self.started += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        return b""


async def test_an_image_has_a_time_limit(
    store: RangeStore, threads: ImageThreads, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and rendering end with a timeout if a store doesn't answer; reads are aborted, and others succeed."""
    service = store.image_service(threads, metrics, timeout_s=0.05)
    resolved = await service.resolve(ImageRequest(URL), 448, ANONYMOUS)
    slow = HangingObject("s3://slow/port.tif", "v", SCENE)
    hanging = replace(resolved, id="slow", source_image=SourceImage(slow.name, (Measurement(slow),), slow.name))

    async def open_slow(self: RangeStore, url: str, can_read: CanRead) -> ObjectReader:
        return slow

    monkeypatch.setattr(RangeStore, "open", open_slow)
    for work in (lambda: service.render(hanging), lambda: service.resolve(ImageRequest(slow.name), 448, ANONYMOUS)):
        with pytest.raises(Timeout, match=r"couldn't be read and rendered within 0\.05 s"):
            await work()
    while slow.aborted < 2:
        await asyncio.sleep(0.001)
    assert slow.started == 2
    assert (await store.image_service(threads).render(resolved)).width == SIDE


async def test_the_resolution_counts_toward_the_time_limit(image_service: ImageService) -> None:
    """An image whose resolution took 60 s has no time left to be rendered; a rendered one is returned at once."""
    resolved = await image_service.resolve(ImageRequest(URL), 448, ANONYMOUS)
    assert 0 < resolved.resolve_seconds < 60
    late = replace(resolved, resolve_seconds=60)
    with pytest.raises(Timeout, match="within 60 s"):
        await image_service.render(late)
    rendered = await image_service.render(resolved)
    assert await image_service.render(late) == rendered


async def test_only_public_schemes_are_public(threads: ImageThreads, store: RangeStore) -> None:
    """An image of a scheme that is read without credentials is public; inline bytes never are."""
    data_urls = DataUrlSource(2**20)
    cache: LRUCache[str, RenderedImage] = LRUCache(2**20, getsizeof=lambda image: len(image.data))
    sources = SourceRegistry({"s3": store, "data": data_urls}, data_urls, public={"s3"})
    service = ImageService(sources, cache, threads, DecodeLimits(), Metrics())
    locations = (URL, SCENE, "data:," + "%00" * 4)
    resolved = [await service.resolve(ImageRequest(location), 448, ANONYMOUS) for location in locations]
    assert [image.public for image in resolved] == [True, False, False]


async def test_extent_reads_the_header(image_service: ImageService, store: RangeStore) -> None:
    """Size and georeference come from the header alone; a PNG has neither."""
    image, render, extent = await image_service.extent(ImageRequest(URL, RenderParams(size=64)), ANONYMOUS)
    assert (image.location, render.size) == (URL, 64)
    assert extent is not None
    assert (extent.width, extent.height, extent.georeference is not None) == (SIDE, SIDE, True)
    assert store.readers[-1].bytes_fetched == 7 + 64 + PAGE_BYTES  # opening it, looking for a STAC Item, the first page
    store.objects[URL] = encoded(np.zeros((8, 8), dtype=np.uint8))
    assert (await image_service.extent(ImageRequest(URL), ANONYMOUS))[2] is None


async def test_a_row_of_tiles_renders_as_each_alone(
    image_service: ImageService, store: RangeStore, threads: ImageThreads
) -> None:
    """Tiles of a row have the bytes that each has alone; those without valid pixels are reported by id."""
    pixels = (1000 * speckled((64, 256))).astype(np.uint16)
    pixels[:, 64:128] = 0
    store.objects[URL] = geotiff(pixels, **DEGREES)

    async def resolved(service: ImageService) -> list[ResolvedImage]:
        windows = [RenderParams(window=(col, 0, 64, 64)) for col in range(0, 256, 64)]
        return [await service.resolve(ImageRequest(URL, window), 64, ANONYMOUS) for window in windows]

    tiles = await resolved(image_service)
    async with image_service.open_row_reader(tiles[0]) as reader:
        (row,) = await reader.group_windows([Window(*tile.render.window or ()) for tile in tiles])
        assert len(row) == 4
        assert await image_service.render_row(reader, tiles) == (frozenset({tiles[1].id}), {})
        assert await image_service.render_row(reader, tiles[:1]) == (frozenset(), {})
    fetched = sum(opened.bytes_fetched for opened in store.readers)
    in_row = [await image_service.render(tile) for tile in tiles if tile is not tiles[1]]
    assert sum(opened.bytes_fetched for opened in store.readers) == fetched
    alone = store.image_service(threads)
    assert in_row == [await alone.render(tile) for tile in await resolved(alone) if tile.id != tiles[1].id]
