"""Images of several URLs, each of one band."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rasterio.transform import Affine

from imagery.object_fixtures import geotiff
from sarlens.errors import BadRequest, BandNotFound, UnsupportedImage
from sarlens.imagery.products.canonical_url import accessed_urls
from sarlens.imagery.service.image_service import ImageService
from sarlens.types.caller import ANONYMOUS, CallerPolicy
from sarlens.types.image_request import ImageRequest, only_or_bands
from sarlens.types.render_params import RenderParams
from support.georeferenced_scenes import AFFINE, UTM
from support.in_memory_store import InMemoryStore
from support.pictures import DATA_URL

VV, VH = "s3://scenes/S1A_IW_RTC30_VV.tif", "s3://scenes/S1A_IW_RTC30_VH.tif"
PLACE: dict[str, Any] = {"crs": UTM, "transform": AFFINE}
POWER = np.random.default_rng(4).gamma(4, 0.25, (2, 90, 120)).astype(np.float32)
COMPOSITE = RenderParams(bands=("VV", "VH"))


@pytest.fixture
def pair(store: InMemoryStore) -> InMemoryStore:
    """A store with VV and VH of one scene, each in a file without band names."""
    for url, plane in zip((VV, VH), POWER, strict=True):
        store.objects[url] = geotiff(plane, **PLACE)
    return store


async def render(images: ImageService, location: Any, params: RenderParams) -> tuple[str, np.ndarray[Any, Any]]:
    """Return the id and the pixels of a rendered image."""
    resolved = await images.resolve(ImageRequest(location, params), 64, ANONYMOUS)
    return resolved.id, np.asarray(Image.open(io.BytesIO((await images.render(resolved)).data)))


@pytest.mark.parametrize("bands", [("VV", "VH"), ("VH",), ("VH", "VV"), (2,), None])
async def test_a_pair_is_an_image_of_two_bands(pair: InMemoryStore, image_service: ImageService, bands: Any) -> None:
    """Pictures of two files equal those of one file with both bands, for any selection of bands."""
    pair.objects["s3://scenes/both.tif"] = geotiff(POWER, names=("VV", "VH"), **PLACE)
    params = RenderParams(bands=bands)
    _, of_pair = await render(image_service, (VV, VH), params)
    _, of_file = await render(image_service, "s3://scenes/both.tif", params)
    assert np.array_equal(of_pair, of_file)
    assert of_pair.ndim == (3 if bands and len(bands) == 2 else 2)


async def test_the_order_of_the_urls_is_of_no_account(pair: InMemoryStore, image_service: ImageService) -> None:
    """Bands are named, so VH before VV is the same picture with the same id."""
    assert (await render(image_service, (VV, VH), COMPOSITE))[0] == (
        (await render(image_service, (VH, VV), COMPOSITE))[0]
    )
    with pytest.raises(BandNotFound, match="It has 2 bands: VH, VV"):
        await render(image_service, (VH, VV), RenderParams(bands=("HH",)))


async def test_bands_are_named_by_the_header_if_the_url_names_none(
    store: InMemoryStore, image_service: ImageService
) -> None:
    """Descriptions name the bands of x.tif and y.tif; without descriptions the two are VV and VH in their order."""
    for url, plane, name in (("s3://scenes/x.tif", POWER[1], "VH"), ("s3://scenes/y.tif", POWER[0], "VV")):
        store.objects[url] = geotiff(plane, names=(name,), **PLACE)
        store.objects[url.replace(".tif", "-.tif")] = geotiff(plane, **PLACE)
    _, vv = await render(image_service, "s3://scenes/y.tif", RenderParams())
    for params in (RenderParams(), RenderParams(bands=("VV",)), RenderParams(bands=(2,))):
        assert np.array_equal((await render(image_service, ("s3://scenes/x.tif", "s3://scenes/y.tif"), params))[1], vv)
    unnamed = "s3://scenes/x-.tif", "s3://scenes/y-.tif"
    assert np.array_equal((await render(image_service, unnamed, RenderParams(bands=("VH",))))[1], vv)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (90, 121)}, "it has 121 x 90 pixels, not 120 x 90"),
        ({"transform": AFFINE @ Affine.translation(1.5, 0)}, "it is shifted by up to 1.5 pixels"),
        ({"crs": "EPSG:32633"}, "it is shifted by up to"),
        ({"crs": None, "transform": None}, "only one of them is georeferenced"),
        ({"count": 2}, "VH.tif has 2 bands"),
    ],
)
async def test_files_of_another_grid_are_rejected(
    pair: InMemoryStore, image_service: ImageService, options: dict[str, Any], message: str
) -> None:
    """Another size, another place, another CRS, no place at all, or two bands: 400, also if only VV is shown."""
    shape = (options.pop("count", 1), *options.pop("shape", POWER.shape[1:]))
    pair.objects[VH] = geotiff(np.ones(shape, np.float32), **{**PLACE, **options})
    with pytest.raises(BadRequest, match=message):
        await render(image_service, (VV, VH), RenderParams())


async def test_a_twentieth_of_a_pixel_is_the_same_grid(pair: InMemoryStore, image_service: ImageService) -> None:
    """Coordinates that differ by rounding place files on one grid, also in another CRS of the same positions."""
    transform = AFFINE @ Affine.translation(0.05, 0.05)
    pair.objects[VH] = geotiff(POWER[1], crs="EPSG:25831", transform=transform)
    assert (await render(image_service, (VV, VH), COMPOSITE))[1].shape[2] == 3


async def test_a_list_has_files_only(pair: InMemoryStore, image_service: ImageService) -> None:
    """Products, assets, swaths and bitmaps don't go with a list of URLs."""
    for location, params in (
        ((VV, "s3://scenes/x.SAFE"), RenderParams()),
        ((VV, VH), RenderParams(asset="vv")),
        ((VV, VH), RenderParams(swath="IW1")),
    ):
        with pytest.raises(BadRequest, match="several"):
            await render(image_service, location, params)
    with pytest.raises(UnsupportedImage, match="isn't a TIFF or SICD"):
        await render(image_service, (VV, DATA_URL), RenderParams())


async def test_a_key_must_allow_every_file(pair: InMemoryStore) -> None:
    """The access check gets each URL, and so does the source for redirects."""
    assert accessed_urls(ImageRequest((VV, VH), None)) == (VV, VH)
    policy = CallerPolicy(can_read=lambda url: url == VV)
    assert not all(map(policy.can_read, accessed_urls(ImageRequest((VV, VH), None))))


@pytest.mark.parametrize("urls", [[], [VV, VV], [VV, 3], [VV, ""], [f"{VV}{n}" for n in range(5)]])
def test_a_list_has_two_to_four_different_urls(urls: list[Any]) -> None:
    """No URL, two equal ones, something else than a text, and five are rejected; one URL isn't a list."""
    with pytest.raises(ValueError, match="2 to 4 different URLs"):
        only_or_bands(urls)
    assert only_or_bands([VV]) == VV
    assert only_or_bands([VV, VH]) == (VV, VH)
