"""Windows that cover a bbox or polygon."""

from __future__ import annotations

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

from imagery.object_fixtures import RecordingReader, encoded, geotiff
from sarlens.errors import BadRequest, NotGeoreferenced, WindowOutOfBounds
from sarlens.imagery.formats.reader import DecodeLimits, locate_window
from sarlens.imagery.geo.crs import parse_crs
from sarlens.imagery.geo.geometry_window import region_for_geometry, window_for_geometry
from sarlens.imagery.geo.georeference import Georeference
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.georeferenced_scenes import SIDE, control_points

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
DEGREES = {"crs": "EPSG:4326", "transform": from_origin(10, 50, 0.001, 0.001)}
UTM = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_700_000, 10, 10)}
SWATH = {"crs": "EPSG:4326", "gcps": control_points()}
ACROSS = {"crs": "EPSG:4326", "gcps": control_points(179.9)}


def image(georeference: dict[str, Any]) -> Georeference:
    """The georeference of an image of 200 x 200 pixels."""
    with MemoryFile(geotiff(np.zeros((SIDE, SIDE), dtype=np.uint8), **georeference)) as file, file.open() as dataset:
        return Georeference.from_dataset(dataset, "s3://scenes/port.tif")


def polygon(*ring: tuple[float, float]) -> dict[str, Any]:
    """A GeoJSON polygon of one ring, which is closed here."""
    return {"type": "Polygon", "coordinates": [[list(position) for position in (*ring, ring[0])]]}


def window_for(georeference: dict[str, Any], **sar: Any) -> Window:
    """The window that covers a region."""
    return window_for_geometry(image(georeference), RenderParams.model_validate(sar))


def test_a_bbox_of_whole_pixels_is_that_window() -> None:
    """In degrees and in the image's own meters, edges on pixel borders give exactly those pixels."""
    assert window_for(DEGREES, bbox=[10.02, 49.9, 10.05, 49.96]) == (20, 40, 30, 60)
    meters = [500_200, 5_699_000, 500_500, 5_699_600]
    assert window_for(UTM, bbox=meters, bbox_crs="EPSG:32631") == (20, 40, 30, 60)


def test_a_region_is_clipped_to_the_image() -> None:
    """A bbox over a corner, and one over the whole world, give their part inside the image."""
    assert window_for(DEGREES, bbox=[9, 49.99, 10.01, 60]) == (0, 0, 10, 10)
    for georeference in (DEGREES, UTM, SWATH, ACROSS):
        assert window_for(georeference, bbox=[-180, -90, 180, 90]) == (0, 0, SIDE, SIDE)


def test_a_region_smaller_than_a_pixel_is_that_pixel() -> None:
    """A window is never empty."""
    assert window_for(DEGREES, bbox=[10.0202, 49.9595, 10.0204, 49.9597]) == (20, 40, 1, 1)


@cache
def centers(name: str) -> tuple[Georeference, Any, Any, Any]:
    """An image, and columns, rows and positions of the centers of all its pixels."""
    georeference = image({"degrees": DEGREES, "utm": UTM, "swath": SWATH}[name])
    cols, rows = (grid.ravel() + 0.5 for grid in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    return georeference, cols, rows, np.column_stack(georeference.pixel_to_lonlat(cols, rows))


@pytest.mark.parametrize("name", ["degrees", "utm", "swath"])
@given(corners=st.lists(st.tuples(st.floats(-0.3, 1.3), st.floats(-0.3, 1.3)), min_size=3, max_size=3, unique=True))
def test_a_window_covers_the_polygon(name: str, corners: list[tuple[float, float]]) -> None:
    """All pixel centers inside the polygon are inside the window."""
    georeference, cols, rows, positions = centers(name)
    ring = georeference.boundary(Window(0, 0, SIDE, SIDE))
    low, high = ring.min(axis=0), ring.max(axis=0)
    triangle = np.round(low + np.array(corners) * (high - low), 6)
    inside = Shape(triangle).contains_points(positions)
    if inside.sum() < 20:
        return
    window = window_for_geometry(georeference, RenderParams.model_validate({"polygon": polygon(*map(tuple, triangle))}))
    assert window.col <= cols[inside].min()
    assert window.row <= rows[inside].min()
    assert cols[inside].max() <= window.col + window.width
    assert rows[inside].max() <= window.row + window.height


def test_a_bbox_on_a_swath_touches_the_window() -> None:
    """On an image with control points, the window contains the bbox with less than 1.05 pixels to spare."""
    georeference = image(SWATH)
    window = window_for_geometry(georeference, RenderParams(bbox=(10.1, 49.9, 10.2, 49.95)))
    lon, lat = (grid.ravel() for grid in np.meshgrid(np.linspace(10.1, 10.2, 50), np.linspace(49.9, 49.95, 50)))
    cols, rows = georeference.lonlat_to_pixel(lon, lat)
    bounds = np.array([cols.min(), rows.min(), cols.max(), rows.max()])
    box = np.array([window.col, window.row, window.col + window.width, window.row + window.height])
    assert np.abs(bounds - box).max() < 1.05


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32632", "http://www.opengis.net/def/crs/EPSG/0/3035"])
def test_a_bbox_in_another_crs_covers_its_pixels(crs: str) -> None:
    """The window has the pixels of a swath whose centers are inside the bbox by PROJ."""
    georeference = image(SWATH)
    cols, rows = (grid.ravel() + 0.5 for grid in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    x, y = (np.array(values) for values in warp("EPSG:4326", parse_crs(crs), *georeference.pixel_to_lonlat(cols, rows)))
    west, east, south, north = (float(np.percentile(v, p)) for v, p in ((x, 40), (x, 60), (y, 40), (y, 60)))
    inside = (west < x) & (x < east) & (south < y) & (y < north)
    window = window_for_geometry(georeference, RenderParams(bbox=(west, south, east, north), bbox_crs=crs))
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
def test_a_region_across_the_antimeridian(sar: dict[str, Any]) -> None:
    """With any notation of its longitudes, the window is that of the same region 170 degrees to the west."""
    reference = window_for(SWATH, bbox=[10.05, 49.85, 10.15, 49.95])
    assert window_for(ACROSS, **sar) == reference


@pytest.mark.parametrize(
    ("sar", "error_cls"),
    [
        ({"bbox": [30, 30, 31, 31]}, WindowOutOfBounds),
        ({"bbox": [10.2, 49.9, 10.3, 49.95]}, WindowOutOfBounds),
        ({"polygon": polygon((0, 0), (1, 0), (1, 1))}, WindowOutOfBounds),
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
def test_an_invalid_region_is_rejected(sar: dict[str, Any], error_cls: type[BadRequest]) -> None:
    """Disjoint, unknown, reversed or self-intersecting: each is a 400 that names its field."""
    with pytest.raises(error_cls) as rejected:
        window_for(DEGREES, **sar)
    assert rejected.value.status == 400
    assert rejected.value.param in {"sar.bbox", "sar.polygon", "sar.bbox_crs"}


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
def test_a_region_is_validated_before_an_image_is_read(sar: dict[str, Any]) -> None:
    """Two regions at once and invalid shapes fail validation."""
    with pytest.raises(ValidationError):
        RenderParams.model_validate(sar)


SQUARE = [[9.0, 49.0], [11.0, 49.0], [11.0, 51.0], [9.0, 51.0], [9.0, 49.0]]


@pytest.mark.parametrize(
    ("rings", "reason"),
    [
        ([SQUARE, [[9.5, 49.5], [12, 50], [9.5, 50.5], [9.5, 49.5]]], "Self-intersection"),
        ([SQUARE, [[12, 49.5], [13, 50], [12, 50.5], [12, 49.5]]], "Hole .* outside shell"),
        (
            [
                SQUARE,
                [[9.2, 49.2], [10.8, 49.2], [10, 50.8], [9.2, 49.2]],
                [[9.8, 49.5], [10, 49.5], [10, 49.7], [9.8, 49.5]],
            ],
            "Holes are nested",
        ),
        ([[[10, 49], [11, 51], [11, 49], [10, 51], [10, 49]]], "Self-intersection"),
        ([[[10, 49], [10, 49], [10, 49], [10, 49]]], "Too few points"),
    ],
)
def test_a_polygon_that_is_not_valid_says_why(rings: list[Any], reason: str) -> None:
    """Rings that cross, holes outside or inside each other and rings without an area are rejected with the reason."""
    with pytest.raises(BadRequest, match=reason) as rejected:
        window_for(DEGREES, polygon={"type": "Polygon", "coordinates": rings})
    assert rejected.value.param == "sar.polygon"


@pytest.mark.parametrize(
    "hole",
    [
        [[9.0, 49.0], [9.5, 49.2], [9.2, 49.5], [9.0, 49.0]],
        [[9.5, 49.5], [9.5, 49.5], [9.8, 49.5], [9.5, 49.8], [9.5, 49.5]],
    ],
)
def test_a_hole_may_touch_and_a_point_may_be_repeated(hole: list[Any]) -> None:
    """A hole that touches the exterior in one point and a point written twice leave a valid polygon."""
    assert window_for(DEGREES, polygon={"type": "Polygon", "coordinates": [SQUARE, hole]}) == (0, 0, SIDE, SIDE)


def test_a_concave_polygon_gets_no_more_than_it_covers() -> None:
    """An L around the upper left corner reaches into the image with one arm, whose window is that arm alone."""
    arms = polygon((9.9, 49.95), (10.05, 49.95), (10.05, 49.96), (9.95, 49.96), (9.95, 50.1), (9.9, 50.1))
    assert window_for(DEGREES, polygon=arms) == (0, 40, 50, 10)


def test_a_hole_is_not_part_of_the_region() -> None:
    """The region of a polygon leaves its hole out, in square pixels; the window does not."""
    hole = [[10.05, 49.9], [10.05, 49.95], [10.1, 49.95], [10.1, 49.9], [10.05, 49.9]]
    render = RenderParams.model_validate({"polygon": {"type": "Polygon", "coordinates": [SQUARE, hole]}})
    assert region_for_geometry(image(DEGREES), render).area == pytest.approx(SIDE**2 - 50 * 50, abs=1e-6)
    assert window_for_geometry(image(DEGREES), render) == (0, 0, SIDE, SIDE)


def test_a_polygon_around_the_whole_earth_counts_once() -> None:
    """A polygon wider than 360 degrees covers an image once, however often its longitudes come around."""
    wide = polygon((-179, 40), (0, 40), (179, 40), (300, 40), (300, 60), (179, 60), (0, 60), (-179, 60))
    render = RenderParams.model_validate({"polygon": wide})
    assert region_for_geometry(image(DEGREES), render).area == pytest.approx(SIDE**2, abs=1e-6)


def test_an_image_without_georeference_is_rejected() -> None:
    """A TIFF without a georeference and a PNG are rejected by their header."""
    for data in (geotiff(np.zeros((8, 8), dtype=np.uint16)), encoded(np.zeros((8, 8), dtype=np.uint8))):
        with pytest.raises(NotGeoreferenced):
            locate_window(RecordingReader(data), RenderParams(bbox=(0, 0, 1, 1)), DecodeLimits())


ARCTIC = {"crs": "EPSG:3413", "transform": from_origin(-10_000, 10_000, 100, 100)}
"""An image of 20 km with the North Pole in its center."""


def test_a_bbox_in_the_own_crs_is_exact_at_the_pole() -> None:
    """A bbox in the CRS of the geotransform gives exactly its pixels, also those around the pole."""
    for bbox, window in (
        ([-10_000, -10_000, 10_000, 10_000], (0, 0, SIDE, SIDE)),
        ([-1_000, -500, 2_000, 500], (90, 95, 30, 10)),
        ([5_000, 5_000, 90_000, 90_000], (150, 0, 50, 50)),
    ):
        assert window_for(ARCTIC, bbox=bbox, bbox_crs="EPSG:3413") == window
    region = region_for_geometry(image(ARCTIC), RenderParams(bbox=(-1_000, -500, 2_000, 500), bbox_crs="EPSG:3413"))
    assert region.area == pytest.approx(30 * 10)
    with pytest.raises(WindowOutOfBounds, match="The bbox is outside the image"):
        window_for(ARCTIC, bbox=[20_000, 0, 30_000, 10], bbox_crs="EPSG:3413")


def test_a_bbox_around_the_pole_is_the_part_around_it() -> None:
    """All longitudes north of a parallel are a circle; a bbox in another polar CRS is turned."""
    image_ = image(ARCTIC)
    cols, rows = image_.lonlat_to_pixel(np.linspace(-180, 180, 721), np.full(721, 89.95))
    window = window_for(ARCTIC, bbox=[-180, 89.95, 180, 90])
    assert window[:2] == (int(np.floor(cols.min() + 0.05)), int(np.floor(rows.min() + 0.05)))
    assert abs(window.width - (cols.max() - cols.min())) < 2
    # EPSG:3995 is the same projection, turned by 45 degrees.
    turned = window_for(ARCTIC, bbox=[-1_000, -1_000, 1_000, 1_000], bbox_crs="EPSG:3995")
    assert turned.width == turned.height
    assert 10 * 2 * 2**0.5 - 1 <= turned.width <= 10 * 2 * 2**0.5 + 3


def test_several_polygons_are_one_area() -> None:
    """The window covers all polygons; the region is their union, and polygons outside the image are left out."""
    islands = [polygon((10.02, 49.98), (10.04, 49.98), (10.04, 49.96), (10.02, 49.96))["coordinates"]]
    islands += [polygon((10.10, 49.90), (10.12, 49.90), (10.12, 49.88), (10.10, 49.88))["coordinates"]]
    islands += [polygon((10.11, 49.90), (10.13, 49.90), (10.13, 49.88), (10.11, 49.88))["coordinates"]]
    islands += [polygon((50, 10), (51, 10), (51, 9))["coordinates"]]
    area = {"type": "MultiPolygon", "coordinates": islands}
    assert window_for(DEGREES, polygon=area) == (20, 20, 110, 100)
    region = region_for_geometry(image(DEGREES), RenderParams.model_validate({"polygon": area}))
    assert region.area == pytest.approx(20 * 20 + 30 * 20)
    with pytest.raises(WindowOutOfBounds):
        window_for(DEGREES, polygon={"type": "MultiPolygon", "coordinates": islands[3:]})
