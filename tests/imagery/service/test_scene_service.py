"""Scenes and tiles: products, calibration, and work that is done once."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagery.object_fixtures import TILED
from imagery.object_fixtures import geotiff as tiff_with_overviews
from sarlens.api.tiles.scene_routes import _describe
from sarlens.errors import BadRequest, NoValidPixels
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.scenes.tile_matrix_set import PIXELS, WEB_MERCATOR, TileIndex
from sarlens.imagery.service.scene_service import SceneService
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from support.georeferenced_scenes import geotiff
from support.in_memory_store import InMemoryStore
from support.pictures import DATA_URL
from support.sentinel1_safe import DUAL, SAFE, VV, small_product


@pytest.fixture
def scenes(store: InMemoryStore, threads: ImageThreads) -> SceneService:
    """A service over the store in memory."""
    cache: LRUCache[str, RenderedImage] = LRUCache(2**24, getsizeof=lambda rendered: len(rendered.data))
    return SceneService(store.image_service(threads), cache, DecodeLimits())


async def test_a_product_is_described_by_its_manifest(scenes: SceneService, store: InMemoryStore) -> None:
    """Polarizations, swath, orbit, calibrations, and bounds between the control points of a dual-polarized GRD."""
    files = small_product(DUAL)
    orbit = b"<metadataSection><s:orbitProperties xmlns:s='urn:s'><s:pass>ASCENDING</s:pass></s:orbitProperties>"
    files["manifest.safe"] = files["manifest.safe"].replace(b"<XFDU>", b"<XFDU>" + orbit + b"</metadataSection>")
    store.put_folder(SAFE, files)
    opened = await scenes.open(ImageRequest(SAFE), ANONYMOUS)
    found = _describe(opened, SAFE)
    assert (found["bands"], found["polarizations"], found["swath"], found["swaths"]) == (
        ["VV", "VH"],
        ["VV", "VH"],
        "IW",
        ["IW"],
    )
    assert found["calibrations"] == ["none", "sigma0", "beta0", "gamma0"]
    assert (found["crs"], found["placement"]) == ("EPSG:4326", "gcps")
    assert found["acquisition"]["orbit_direction"] == "ascending"
    assert await scenes.looks(opened, ANONYMOUS) is None
    looks = "".join(
        f"<swathProcParams><swath>{swath}</swath><rangeProcessing><numberOfLooks>{count}</numberOfLooks>"
        "</rangeProcessing><azimuthProcessing><numberOfLooks>1</numberOfLooks></azimuthProcessing></swathProcParams>"
        for swath, count in (("IW1", 5), ("IW2", 4))
    )
    old = b"<processingInformation>"
    new = old + f"<swathProcParamsList>{looks}</swathProcParamsList>".encode()
    store.put_folder(SAFE, {path: data.replace(old, new) for path, data in files.items()})
    assert await scenes.looks(opened, ANONYMOUS) == (5, 1)
    assert found["bounds"] == pytest.approx([4, 51.99, 4.0201, 52.0004], abs=1e-6)


async def test_a_product_with_several_swaths_is_described_by_the_first(
    scenes: SceneService, store: InMemoryStore
) -> None:
    """Without a swath, the description is that of IW1 and lists all; tiles need one."""
    store.put_folder(
        SAFE, small_product({"iw1-slc-vv": VV.astype(np.complex64), "iw2-slc-vv": VV.astype(np.complex64)})
    )
    found = _describe(await scenes.open(ImageRequest(SAFE), ANONYMOUS, any_swath=True), SAFE)
    assert (found["swath"], found["swaths"]) == ("IW1", ["IW1", "IW2"])
    assert found["data_type"] == "complex64"
    with pytest.raises(BadRequest, match="IW1, IW2"):
        await scenes.open(ImageRequest(SAFE), ANONYMOUS)


async def test_measurements_are_calibrated(scenes: SceneService, store: InMemoryStore) -> None:
    """Sigma nought at a pixel, by the formula: max(DN² - noise, noise / 10) / A² with both tables at the pixel."""
    store.put_folder(SAFE, small_product(DUAL))
    render = RenderParams(bands=("VV",), calibration="sigma0")
    opened = await scenes.open(ImageRequest(SAFE, render), ANONYMOUS)
    (band,) = await scenes.pixel(opened, 50, 30)
    share = 50 / 200
    gain, noise = 2 + 2 * share, 2 * (400 + 500 * share)  # VV is the second image of the product
    power = float(VV[30, 50]) ** 2
    assert band["name"] == "VV"
    assert band["linear"] == pytest.approx(max(power - noise, noise / 10) / gain**2, rel=1e-3)
    tile = await scenes.tile(opened, PIXELS, TileIndex(0, 0, 0), "")
    assert np.asarray(Image.open(io.BytesIO(tile.data)))[..., 1].max() == 255


async def test_concurrent_requests_for_a_tile_share_the_work(scenes: SceneService, store: InMemoryStore) -> None:
    """Twenty requests of three clients for one tile get the same object, and a later one too."""
    store.objects["s3://scenes/x.tif"] = geotiff(
        np.random.default_rng(0).integers(50, 90, (300, 300)).astype(np.uint16)
    )
    opened = await scenes.open(ImageRequest("s3://scenes/x.tif"), ANONYMOUS)
    tile = TileIndex(1, 0, 0)
    found = await asyncio.gather(*(scenes.tile(opened, PIXELS, tile, f"client {n % 3}") for n in range(20)))
    assert len({id(rendered) for rendered in found}) == 1
    assert await scenes.tile(opened, PIXELS, tile, "") is found[0]


async def test_a_tile_outside_the_scene_reads_nothing(scenes: SceneService, store: InMemoryStore) -> None:
    """The tile is transparent, also for a scene that has no valid pixel; inside, such a scene is an error."""
    store.objects["s3://scenes/x.tif"] = geotiff(np.zeros((300, 300), np.uint16))
    opened = await scenes.open(ImageRequest("s3://scenes/x.tif"), ANONYMOUS)
    outside = await scenes.tile(opened, WEB_MERCATOR, TileIndex(10, 0, 0), "")
    assert not np.asarray(Image.open(io.BytesIO(outside.data))).any()
    with pytest.raises(NoValidPixels):
        await scenes.tile(opened, PIXELS, TileIndex(0, 0, 0), "")


async def test_a_scene_without_a_valid_pixel_is_measured_once(
    scenes: SceneService, store: InMemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tiles and the statistics of such a scene raise the same error; the scene is read for the first of them."""
    store.objects["s3://scenes/x.tif"] = geotiff(np.zeros((300, 300), np.uint16))
    opened = await scenes.open(ImageRequest("s3://scenes/x.tif"), ANONYMOUS)
    with pytest.raises(NoValidPixels) as first:
        await scenes.tile(opened, PIXELS, TileIndex(1, 0, 0), "")
    monkeypatch.setattr("sarlens.imagery.scenes.appearance.measure_appearance", None)
    for measured in (scenes.tile(opened, PIXELS, TileIndex(1, 1, 0), ""), scenes.statistics(opened, None)):
        with pytest.raises(NoValidPixels) as later:
            await measured
        assert later.value.message == first.value.message
    other = await scenes.open(ImageRequest("s3://scenes/x.tif", RenderParams(nodata=1)), ANONYMOUS)
    with pytest.raises(TypeError):  # another nodata value is another question
        await scenes.tile(other, PIXELS, TileIndex(1, 0, 0), "")


async def test_a_nodata_value_excludes_overviews_that_measured_it(scenes: SceneService, store: InMemoryStore) -> None:
    """A COG whose averages include -9999 is read at full resolution with ``nodata``: half of the pixels are valid."""
    power = np.full((600, 600), 4.0, np.float32)
    power[:, ::2] = -9999
    store.objects["s3://scenes/x.tif"] = tiff_with_overviews(power, overviews=[2, 4], **TILED)
    found = {}
    for nodata in (None, -9999.0):
        render = RenderParams(nodata=nodata, scale="linear")
        opened = await scenes.open(ImageRequest("s3://scenes/x.tif", render), ANONYMOUS)
        found[nodata] = opened
    assert _describe(found[None], "")["overviews"] == [2, 4]
    assert _describe(found[-9999.0], "")["overviews"] == []
    (band,) = (await scenes.statistics(found[-9999.0], None))["bands"]
    assert (band["valid_ratio"], band["linear"]["min"], band["linear"]["max"]) == (0.5, 4.0, 4.0)
    with pytest.raises(BadRequest, match="no nodata value"):
        await scenes.open(ImageRequest(DATA_URL, RenderParams(nodata=0)), ANONYMOUS)


def test_tile_ids_depend_on_the_scene_and_its_looks(scenes: SceneService, store: InMemoryStore) -> None:
    """Another filter, stretch, tile matrix set or tile has another id; the same request has the same."""
    store.objects["s3://scenes/x.tif"] = geotiff(np.full((300, 300), 9, np.uint16))

    async def ids() -> list[str]:
        found = []
        for params in ({}, {"filter": "lee"}, {"stretch": (1.0, 99.0)}):
            sar: Any = params
            opened = await scenes.open(ImageRequest("s3://scenes/x.tif", RenderParams(**sar)), ANONYMOUS)
            found += [opened.tile_id(PIXELS, TileIndex(1, 0, 0)), opened.tile_id(WEB_MERCATOR, TileIndex(1, 0, 0))]
            found.append(opened.tile_id(PIXELS, TileIndex(1, 1, 0)))
        return found

    first, second = asyncio.run(ids()), asyncio.run(ids())
    assert first == second
    assert len(set(first)) == 9
