"""Windows asked for by a place on the map."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Shape
from pydantic import ValidationError
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.warp import transform as warp

from imagery.blobs import BytesBlob, encoded, geotiff
from imagery.test_georeference import control_points
from sarlens.chat import parse_render, sar_from_text
from sarlens.errors import BadRequest, NotGeoreferenced, WindowOutside
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.data import Data
from sarlens.imagery.decode import Limits, locate
from sarlens.imagery.georeference import Georeference
from sarlens.imagery.pictures import Pictures
from sarlens.imagery.place import known_crs, window_of
from sarlens.imagery.source import Sources
from sarlens.metrics import Metrics
from sarlens.request import ANYBODY, Render, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIDE = 200
DEGREES = {"crs": "EPSG:4326", "transform": from_origin(10, 50, 0.001, 0.001)}
UTM = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_700_000, 10, 10)}
SWATH = {"crs": "EPSG:4326", "gcps": control_points()}
ACROSS = {"crs": "EPSG:4326", "gcps": control_points(179.9)}


def image(place: dict[str, Any]) -> Georeference:
    """The georeference of 200 x 200 pixels at a place."""
    with MemoryFile(geotiff(np.zeros((SIDE, SIDE), dtype=np.uint8), **place)) as held, held.open() as dataset:
        return Georeference.of(dataset, "s3://scenes/port.tif")


def polygon(*ring: tuple[float, float]) -> dict[str, Any]:
    """A GeoJSON polygon of one ring, which is closed here."""
    return {"type": "Polygon", "coordinates": [[list(position) for position in (*ring, ring[0])]]}


def found(place: dict[str, Any], **sar: Any) -> Window:
    """The window that covers a place."""
    return window_of(image(place), Render.model_validate(sar))


def test_a_bbox_of_whole_pixels_is_that_window() -> None:
    """In degrees and in the image's own metres, edges on pixel borders give exactly those pixels."""
    assert found(DEGREES, bbox=[10.02, 49.9, 10.05, 49.96]) == (20, 40, 30, 60)
    metres = [500_200, 5_699_000, 500_500, 5_699_600]
    assert found(UTM, bbox=metres, bbox_crs="EPSG:32631") == (20, 40, 30, 60)


def test_what_lies_outside_the_image_is_cut_off() -> None:
    """A bbox over a corner, and one over the whole world, give what of them lies in the image."""
    assert found(DEGREES, bbox=[9, 49.99, 10.01, 60]) == (0, 0, 10, 10)
    for place in (DEGREES, UTM, SWATH, ACROSS):
        assert found(place, bbox=[-180, -90, 180, 90]) == (0, 0, SIDE, SIDE)


def test_a_place_smaller_than_a_pixel_is_that_pixel() -> None:
    """A window is never empty."""
    assert found(DEGREES, bbox=[10.0202, 49.9595, 10.0204, 49.9597]) == (20, 40, 1, 1)


@cache
def centres(name: str) -> tuple[Georeference, Any, Any, Any]:
    """An image, and of all its pixels' centres columns, rows, and places."""
    where = image({"degrees": DEGREES, "utm": UTM, "swath": SWATH}[name])
    cols, rows = (each.ravel() + 0.5 for each in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    return where, cols, rows, np.column_stack(where.lonlat(cols, rows))


@pytest.mark.parametrize("name", ["degrees", "utm", "swath"])
@given(corners=st.lists(st.tuples(st.floats(-0.3, 1.3), st.floats(-0.3, 1.3)), min_size=3, max_size=3, unique=True))
def test_a_window_covers_the_polygon(name: str, corners: list[tuple[float, float]]) -> None:
    """Of all pixel centres, tested one by one, those in the polygon are in the window."""
    where, cols, rows, places = centres(name)
    ring = where.boundary(Window(0, 0, SIDE, SIDE))
    low, high = ring.min(axis=0), ring.max(axis=0)
    triangle = np.round(low + np.array(corners) * (high - low), 6)
    inside = Shape(triangle).contains_points(places)
    if inside.sum() < 20:
        return
    window = window_of(where, Render.model_validate({"polygon": polygon(*map(tuple, triangle))}))
    assert window.col <= cols[inside].min()
    assert window.row <= rows[inside].min()
    assert cols[inside].max() <= window.col + window.width
    assert rows[inside].max() <= window.row + window.height


def test_a_bbox_on_a_swath_has_its_corners_on_the_window() -> None:
    """On an image with control points alone, the footprint of the window holds the bbox, and hugs it."""
    where = image(SWATH)
    window = window_of(where, Render(bbox=(10.1, 49.9, 10.2, 49.95)))
    lon, lat = (each.ravel() for each in np.meshgrid(np.linspace(10.1, 10.2, 50), np.linspace(49.9, 49.95, 50)))
    cols, rows = where.pixels(lon, lat)
    bounds = np.array([cols.min(), rows.min(), cols.max(), rows.max()])
    box = np.array([window.col, window.row, window.col + window.width, window.row + window.height])
    assert np.abs(bounds - box).max() < 1.05


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32632", "http://www.opengis.net/def/crs/EPSG/0/3035"])
def test_a_bbox_in_another_crs_covers_what_lies_in_it(crs: str) -> None:
    """The pixels of a swath whose centres lie in the bbox, by PROJ, are those of the window."""
    where = image(SWATH)
    cols, rows = (each.ravel() + 0.5 for each in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    x, y = (np.array(each) for each in warp("EPSG:4326", known_crs(crs), *where.lonlat(cols, rows)))
    west, east, south, north = (float(np.percentile(v, p)) for v, p in ((x, 40), (x, 60), (y, 40), (y, 60)))
    inside = (west < x) & (x < east) & (south < y) & (y < north)
    window = window_of(where, Render(bbox=(west, south, east, north), bbox_crs=crs))
    expected = [cols[inside].min(), rows[inside].min(), cols[inside].max(), rows[inside].max()]
    box = np.array([window.col, window.row, window.col + window.width, window.row + window.height])
    assert np.abs(box - expected).max() < 3


@pytest.mark.parametrize(
    "sar",
    [
        {"bbox": [179.95, 49.85, -179.95, 49.95]},
        {"bbox": [179.95, 49.85, 180.05, 49.95]},
        {"bbox": [-180.05, 49.85, -179.95, 49.95]},
        {"polygon": polygon((179.95, 49.85), (180.05, 49.85), (180.05, 49.95), (179.95, 49.95))},
    ],
)
def test_a_place_across_the_antimeridian_is_found(sar: dict[str, Any]) -> None:
    """However its longitudes are written, it is the window that the same place 170 degrees to the west has."""
    moved = found(SWATH, bbox=[10.05, 49.85, 10.15, 49.95])
    assert found(ACROSS, **sar) == moved


@pytest.mark.parametrize(
    ("sar", "error"),
    [
        ({"bbox": [30, 30, 31, 31]}, WindowOutside),
        ({"bbox": [10.2, 49.9, 10.3, 49.95]}, WindowOutside),
        ({"polygon": polygon((0, 0), (1, 0), (1, 1))}, WindowOutside),
        ({"bbox": [10, 49, 11, 51], "bbox_crs": "EPSG:999999"}, BadRequest),
        ({"bbox": [10, 49, 11, 51], "bbox_crs": "/etc/passwd"}, BadRequest),
        ({"bbox": [10, 49, 11, 51], "bbox_crs": "+proj=longlat"}, BadRequest),
        ({"bbox": [10, 49, 11, 51], "bbox_crs": "EPSG:5773"}, BadRequest),
        ({"bbox": [11, 49, 10, 51], "bbox_crs": "EPSG:3857"}, BadRequest),
        ({"bbox": [10, 51, 11, 49]}, BadRequest),
        ({"bbox": [10, 49, 10, 51]}, BadRequest),
        ({"bbox": [-1e9, -1e9, 1e9, 1e9], "bbox_crs": "EPSG:3035"}, BadRequest),
        ({"polygon": polygon((10, 49), (11, 51), (11, 49), (10, 51))}, BadRequest),
        ({"polygon": polygon((10, 49), (11, 49), (10, 49))}, BadRequest),
        ({"polygon": polygon((10, 49), (11, 49), (10.5, 49), (10.5, 50))}, BadRequest),
        ({"polygon": polygon((179, 49), (-179, 49), (-179, 50))}, BadRequest),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(sar: dict[str, Any], error: type[BadRequest]) -> None:
    """Disjoint, unknown, turned around or crossing itself: each is a 400 that names its field."""
    with pytest.raises(error) as caught:
        found(DEGREES, **sar)
    assert caught.value.status == 400
    assert caught.value.param in {"sar.bbox", "sar.polygon", "sar.bbox_crs"}


@pytest.mark.parametrize(
    "sar",
    [
        {"bbox": [10, 49, 11, 51], "window": [0, 0, 1, 1]},
        {"bbox": [10, 49, 11, 51], "polygon": polygon((10, 49), (11, 49), (11, 50))},
        {"bbox_crs": "EPSG:4326"},
        {"bbox": [float("nan"), 49, 11, 51]},
        {"bbox": [10, 49, 11]},
        {"polygon": {"type": "Point", "coordinates": [10, 49]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}},
        {"polygon": polygon((49, 100), (50, 100), (50, 101))},
        {"polygon": polygon(*[(i / 1e4, (i % 2) / 10) for i in range(1001)])},
    ],
)
def test_a_place_is_checked_before_any_image_is_read(sar: dict[str, Any]) -> None:
    """Two places at once and shapes that are none do not make a Render."""
    with pytest.raises(ValidationError):
        Render.model_validate(sar)


def test_an_unknown_crs_is_told_to_the_caller_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """PROJ writes nothing to standard error, which holds one JSON object a line."""
    with pytest.raises(BadRequest, match="bbox_crs"):
        known_crs("EPSG:999999")
    assert capfd.readouterr().err == ""


def test_an_image_without_a_place_says_so() -> None:
    """A TIFF without georeference and a PNG are refused by their header."""
    for data in (geotiff(np.zeros((8, 8), dtype=np.uint16)), encoded(np.zeros((8, 8), dtype=np.uint8))):
        with pytest.raises(NotGeoreferenced):
            locate(BytesBlob(data), Render(bbox=(0, 0, 1, 1)), Limits())


def test_a_place_may_be_written_as_text() -> None:
    """Query strings carry a bbox with commas, its CRS as it is, and a polygon as JSON."""
    text = {"bbox": "10,49.5,11,51", "bbox_crs": "EPSG:32631"}
    render = parse_render(sar_from_text(text), "sar")
    assert render is not None
    assert (render.bbox, render.bbox_crs) == ((10, 49.5, 11, 51), "EPSG:32631")
    shape = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}'
    render = parse_render(sar_from_text({"polygon": shape}), "sar")
    assert render is not None
    assert render.polygon is not None
    with pytest.raises(BadRequest):
        parse_render(sar_from_text({"polygon": "{"}), "sar")


async def test_a_picture_has_one_id_however_its_window_is_asked_for() -> None:
    """By pixels, by bbox or by polygon: the same window is the same picture, and is known by its pixels."""
    pixels = np.random.default_rng(0).integers(1, 999, (SIDE, SIDE)).astype(np.uint16)
    with ThreadPoolExecutor(1) as threads:
        sources = Sources({"data": Data(2**20)}, Data(2**20))
        pictures = Pictures(sources, ByteLRU(2**20, weigh=lambda each: 1), threads, Limits(), Metrics())
        url = "data:;base64," + base64.b64encode(geotiff(pixels, **DEGREES)).decode()
        ring = polygon((10.02, 49.96), (10.02, 49.9), (10.05, 49.9), (10.05, 49.96))
        asks = [{"window": [20, 40, 30, 60]}, {"bbox": [10.02, 49.9, 10.05, 49.96]}, {"polygon": ring}]
        negatives = await asyncio.gather(
            *(pictures.find(url, Render.model_validate(ask), 448, ANYBODY) for ask in asks)
        )
    assert len({negative.id for negative in negatives}) == 1
    assert all(negative.render.window == (20, 40, 30, 60) for negative in negatives)
