"""Merged bursts of Sentinel-1 SLC: their lines, their place, and what can't be merged."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile

from sarlens.errors import UnsupportedImage
from sarlens.imagery.products.sentinel1_safe import has_bursts
from sarlens.imagery.service.image_service import ImageService
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from support.in_memory_store import InMemoryStore
from support.sentinel1_safe import SAFE, Bursts, Files, digital_numbers, slc_product

BURSTS = Bursts()
SAMPLES = 64
SCENE = digital_numbers(5, (BURSTS.scene_lines, SAMPLES)).astype(np.float32)


async def opened(images: ImageService, **sar: Any) -> Any:
    """Return the resolved image of the product."""
    return await images.resolve(ImageRequest(SAFE, RenderParams(**sar)), 448, ANONYMOUS)


def pixels_of(resolved: Any) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Return the pixels of the measurement that is read, and its control points, by GDAL."""
    (measurement,) = resolved.source_image.measurements
    reader = measurement.reader
    data = b"".join(reader.read(start, 1000) for start in range(0, reader.size, 1000))
    assert len(data) == reader.size
    with MemoryFile(data) as file, file.open() as dataset:
        return dataset.read(1), dataset.gcps[0]


@pytest.mark.parametrize("options", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"compress": "deflate"}])
async def test_each_line_of_the_ground_is_shown_once(
    store: InMemoryStore, image_service: ImageService, options: dict[str, str]
) -> None:
    """The valid lines of the swath in order; of two bursts that overlap, each shows its half."""
    store.put_folder(SAFE, slc_product(BURSTS, SCENE, **options))
    pixels, points = pixels_of(await opened(image_service))
    # Bursts are valid in lines 3 to 36, 33 to 66 and 63 to 96 of the ground; overlaps of 4 lines are cut in the middle.
    assert np.array_equal(pixels.real, SCENE[3:97])
    numbers = np.repeat([1, 2, 3], [32, 30, 32])
    assert np.array_equal(pixels.imag[:, 0], numbers)
    for point in points:  # the geolocation grid of the annotation, in lines after the first valid one
        line, sample = point.row + 3, point.col
        assert (point.x, point.y) == pytest.approx((4 + sample * 1e-4 + line * 1e-6, 52 - line * 1e-4 + sample * 2e-6))
    assert len(points) == 20


async def test_windows_and_positions_are_those_of_the_merged_image(
    store: InMemoryStore, image_service: ImageService
) -> None:
    """A bbox in the second burst is found by its azimuth time, and its window has the pixels of that ground."""
    store.put_folder(SAFE, slc_product(BURSTS, SCENE))
    box = (4 + 10e-4, 52 - 59e-4, 4 + 20e-4, 52 - 51e-4)
    resolved = await opened(image_service, bbox=box)
    col, row, width, height = resolved.render.window
    assert (10 - 2 <= col <= 10, 48 - 2 <= row <= 48 + 1) == (True, True)
    assert (width, height) == (pytest.approx(11, abs=2), pytest.approx(9, abs=2))
    shown = await opened(image_service, window=(0, 0, SAMPLES, 94), filter="none")
    rendered = await image_service.render(shown)
    assert Image.open(io.BytesIO(rendered.data)).size == (SAMPLES, 94)


async def test_bursts_can_be_kept(store: InMemoryStore, image_service: ImageService) -> None:
    """``keep`` opens the measurement itself, with another version; the scene has the bursts one below the other."""
    store.put_folder(SAFE, slc_product(BURSTS, SCENE))
    merged, kept = await opened(image_service), await opened(image_service, bursts="keep")
    assert np.array_equal(pixels_of(kept)[0], BURSTS.stack(SCENE))
    assert merged.source_image.version != kept.source_image.version
    assert merged.id != kept.id
    again = await opened(image_service)
    assert (again.source_image.version, again.id) == (merged.source_image.version, merged.id)


def _without_annotation(files: Files) -> Files:
    return {path: data for path, data in files.items() if not path.startswith("annotation/s1a")}


def _edited(old: str, new: str) -> Any:
    def edit(files: Files) -> Files:
        return {
            path: data.replace(old.encode(), new.encode()) if path.startswith("annotation/s1a") else data
            for path, data in files.items()
        }

    return edit


@pytest.mark.parametrize(
    ("product", "edit", "message"),
    [
        (slc_product(BURSTS, SCENE), _without_annotation, "which describes its bursts, doesn't exist"),
        (slc_product(BURSTS, SCENE), _edited("<linesPerBurst>40", "<linesPerBurst>41"), "doesn't describe bursts"),
        (slc_product(BURSTS, SCENE), _edited("</azimuthTimeInterval>", "x</azimuthTimeInterval>"), "doesn't describe"),
        (slc_product(BURSTS, SCENE), _edited("53.060000", "53.060800"), "doesn't describe bursts"),  # off the grid
        (slc_product(BURSTS, SCENE), _edited("53.060000", "53.080000"), "doesn't describe bursts"),  # a gap
        (slc_product(BURSTS, SCENE), _edited("<samplesPerBurst>64", "<samplesPerBurst>65"), "isn't a TIFF of 65 x 120"),
        (slc_product(BURSTS, SCENE, blockysize=4), dict, "in strips of one row"),
        (slc_product(BURSTS, SCENE, tiled=True, blockxsize=16, blockysize=16), dict, "in strips of one row"),
    ],
)
async def test_bursts_that_cannot_be_merged_are_rejected(
    store: InMemoryStore, image_service: ImageService, product: Files, edit: Any, message: str
) -> None:
    """A missing, damaged or contradicting annotation, and a measurement whose rows aren't strips; ``keep`` works."""
    store.put_folder(SAFE, edit(product))
    with pytest.raises(UnsupportedImage, match=message) as rejected:
        await opened(image_service)
    assert rejected.value.message.endswith('Use "bursts": "keep" for the bursts as the file stores them.')
    kept = await opened(image_service, bursts="keep")
    assert pixels_of(kept)[0].shape == (120, 64)


def test_only_iw_and_ew_slc_have_bursts() -> None:
    """GRD, stripmap and wave mode have none."""
    names = ("s1a-iw1-slc-vv-x.tiff", "s1b-ew5-slc-hh-x.tiff", "s1a-iw-grd-vv-x.tiff", "s1a-s3-slc-vv-x.tiff")
    assert [has_bursts(f"s3://a/x.SAFE/measurement/{name}") for name in names] == [True, True, False, False]
