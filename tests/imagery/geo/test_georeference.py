"""Georeferences: affine transforms, control points and footprints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.transform import from_gcps, from_origin

from imagery.object_fixtures import geotiff
from sarlens.errors import NotGeoreferenced
from sarlens.imagery.geo.georeference import Georeference
from sarlens.types.window import Window
from support.georeferenced_scenes import SIDE, control_points, swath
from support.sar_samples import SAMPLES

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WHOLE = Window(0, 0, SIDE, SIDE)
samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are missing")


def georeference(**options: Any) -> Georeference:
    """The georeference of an image of 200 x 200 pixels."""
    with MemoryFile(geotiff(np.zeros((SIDE, SIDE), dtype=np.uint8), **options)) as held, held.open() as dataset:
        return Georeference.from_dataset(dataset, "s3://scenes/port.tif")


@pytest.mark.parametrize(
    "options",
    [
        {"crs": "EPSG:4326", "transform": from_origin(10, 50, 0.001, 0.001)},
        {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_700_000, 10, 10)},
        {"crs": "EPSG:3031", "transform": from_origin(1_000_000, 1_000_000, 100, 100)},
        {"crs": "EPSG:4326", "gcps": control_points()},
        {"crs": "EPSG:4326", "gcps": control_points(179.9)},
        {"crs": "EPSG:4326", "transform": from_origin(179.9, 10, 0.001, 0.001)},
        {"crs": "EPSG:4326", "transform": from_origin(300, 10, 0.001, 0.001)},
    ],
)
def test_positions_return_to_their_pixel(options: dict[str, Any]) -> None:
    """From a pixel to longitude and latitude and back, no position moves by a hundredth of a pixel."""
    image = georeference(**options)
    cols, rows = (grid.ravel() for grid in np.meshgrid(np.linspace(0, SIDE, 23), np.linspace(0, SIDE, 17)))
    lon, lat = image.pixel_to_lonlat(cols, rows)
    assert ((lon >= -180) & (lon < 180)).all()
    back = np.array(image.lonlat_to_pixel(lon, lat))
    np.testing.assert_allclose(back, np.array([cols, rows]), atol=0.01)


def test_an_affine_is_exact_and_longitude_comes_first() -> None:
    """The corner and the pixel size of a geotransform are those on the map."""
    image = georeference(crs="EPSG:4326", transform=from_origin(10, 50, 0.001, 0.002))
    lon, lat = image.pixel_to_lonlat(np.array([0.0, 100.0]), np.array([0.0, 50.0]))
    np.testing.assert_allclose(lon, [10, 10.1])
    np.testing.assert_allclose(lat, [50, 49.9])


def test_web_mercator_agrees_with_its_formula() -> None:
    """The formula of Web Mercator (spherical, R = 6378137 m) gives the same position as PROJ."""
    image = georeference(crs="EPSG:3857", transform=from_origin(1_000_000, 6_000_000, 10, 10))
    lon, lat = image.pixel_to_lonlat(np.array([20.0]), np.array([40.0]))
    assert lon[0] == pytest.approx(math.degrees(1_000_200 / 6378137), abs=1e-9)
    assert lat[0] == pytest.approx(math.degrees(2 * math.atan(math.exp(5_999_600 / 6378137)) - math.pi / 2), abs=1e-9)


def test_control_points_are_interpolated() -> None:
    """Between the points, the spline is within a tenth of a pixel of the truth; a fitted affine is off by a pixel."""
    image = georeference(crs="EPSG:4326", gcps=control_points())
    cols, rows = (grid.ravel() for grid in np.meshgrid(np.linspace(5, 195, 20), np.linspace(5, 195, 20)))
    truth = swath(cols, rows)
    interpolated = np.array(image.lonlat_to_pixel(*truth))
    assert np.abs(interpolated - [cols, rows]).max() < 0.1
    fitted = np.array(~from_gcps(control_points()) @ truth)
    assert np.abs(fitted - [cols, rows]).max() > 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"crs": "EPSG:32631"},
        {"transform": from_origin(10, 50, 0.001, 0.001)},
        {"crs": "EPSG:4326", "gcps": control_points(count=33)},
        {"crs": "EPSG:4326", "gcps": control_points(count=2)[:2]},
        {"crs": "EPSG:4326", "gcps": [GroundControlPoint(row=1, col=1, x=1, y=1)] * 9},
        {"crs": "EPSG:4326", "gcps": [GroundControlPoint(row=i, col=i, x=i, y=i) for i in range(9)]},
        {"crs": "EPSG:4326", "gcps": [GroundControlPoint(row=i, col=i**2, x=math.nan, y=i) for i in range(9)]},
        {"crs": "EPSG:32631", "transform": from_origin(1e300, 1e300, 10, 10)},
    ],
)
def test_an_image_without_a_usable_georeference_is_rejected(options: dict[str, Any]) -> None:
    """Without a usable geotransform or control points, in any form of the header, no position is guessed."""
    with pytest.raises(NotGeoreferenced):
        georeference(**options)


def test_a_footprint_in_degrees_has_four_corners() -> None:
    """A north-up image in degrees is a rectangle, counterclockwise and closed as in RFC 7946."""
    image = georeference(crs="EPSG:4326", transform=from_origin(10, 50, 0.001, 0.001))
    shape = image.footprint(Window(0, 0, 100, 50))
    assert shape["type"] == "Polygon"
    (ring,) = shape["coordinates"]
    corners = np.array([[10, 50], [10, 49.95], [10.1, 49.95], [10.1, 50], [10, 50]])
    np.testing.assert_allclose(np.array(ring), corners)
    assert shapely.is_ccw(shapely.linearrings(ring))


def test_a_bent_footprint_follows_the_image() -> None:
    """Every point of the footprint of a swath is on the edge of the image, and so is the middle of every line."""
    image = georeference(crs="EPSG:4326", gcps=control_points())
    ring = np.array(image.footprint(WHOLE)["coordinates"][0])
    for points, tolerance in ((ring, 0.01), ((ring[1:] + ring[:-1]) / 2, 0.1)):
        cols, rows = image.lonlat_to_pixel(*points.T)
        edge = np.minimum(np.minimum(cols, SIDE - cols), np.minimum(rows, SIDE - rows))
        assert np.abs(edge).max() < tolerance
    assert len(ring) > 20


@pytest.mark.parametrize(
    "options",
    [
        {"crs": "EPSG:4326", "gcps": control_points(179.9)},
        {"crs": "EPSG:4326", "transform": from_origin(179.9, 10, 0.001, 0.001)},
        {"crs": "EPSG:4326", "transform": from_origin(-180.1, 10, 0.001, 0.001)},
        {"crs": "EPSG:32660", "transform": from_origin(820_000, 1_000_000, 100, 100)},
    ],
)
def test_a_footprint_is_split_at_the_antimeridian(options: dict[str, Any]) -> None:
    """Two polygons meet at 180 degrees, one on each side, and none spans the globe."""
    shape = georeference(**options).footprint(WHOLE)
    assert shape["type"] == "MultiPolygon"
    east, west = (np.array(polygon[0]) for polygon in sorted(shape["coordinates"], key=lambda p: -p[0][0][0]))
    assert east[:, 0].max() == 180
    assert west[:, 0].min() == -180
    assert east[:, 0].min() > 175
    assert west[:, 0].max() < -175
    assert all(shapely.is_ccw(shapely.linearrings(ring)) for ring in (east, west))


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
@pytest.mark.parametrize("corner", [(-10_000, 10_000), (-500, 19_500), (-10_000, 130)])
def test_a_footprint_around_a_pole_reaches_the_pole(crs: str, pole: int, corner: tuple[int, int]) -> None:
    """The footprint covers all longitudes up to the pole, and its area is that of the image in a polar projection."""
    image = georeference(crs=crs, transform=from_origin(*corner, 100, 100))
    shape = shapely.from_geojson(orjson.dumps(image.footprint(WHOLE)))
    assert shape.is_valid
    west, south, east, north = shape.bounds
    assert (west, east) == (-180, 180)
    assert (north if pole > 0 else south) == pole
    cols, rows = np.meshgrid(np.arange(-40.0, 240, 7.3), np.arange(-40.0, 240, 7.3))
    lon, lat = image.pixel_to_lonlat(cols.ravel(), rows.ravel())
    inside = (cols > 0) & (cols < image.width) & (rows > 0) & (rows < image.height)
    assert shapely.intersects_xy(shape, lon, lat).tolist() == inside.ravel().tolist()


@given(st.integers(0, 150), st.integers(0, 150), st.integers(1, 50), st.integers(1, 50))
def test_a_footprint_has_the_bounds_of_its_window(col: int, row: int, width: int, height: int) -> None:
    """Transformed back to pixels, the footprint of a window has the bounds of the window."""
    image = georeference(crs="EPSG:32631", transform=from_origin(500_000, 5_700_000, 10, 10))
    ring = np.array(image.footprint(Window(col, row, width, height))["coordinates"][0])
    cols, rows = image.lonlat_to_pixel(*ring.T)
    bounds = (cols.min(), rows.min(), cols.max(), rows.max())
    np.testing.assert_allclose(bounds, (col, row, col + width, row + height), atol=0.01)


@pytest.mark.samples
@samples
def test_positions_of_a_real_grd_return_to_their_pixel() -> None:
    """On a real Sentinel-1 GRD both transforms agree within a pixel; one affine is off by hundreds of meters."""
    with rasterio.open(SAMPLES / "riotiler_s1_iw_grd_cog_gcps.tif") as dataset:
        image = Georeference.from_dataset(dataset, "the sample")
        points, _ = dataset.gcps
    cols, rows = (a.ravel() for a in np.meshgrid(np.linspace(0, image.width, 41), np.linspace(0, image.height, 31)))
    back = np.array(image.lonlat_to_pixel(*image.pixel_to_lonlat(cols, rows)))
    assert np.abs(back - [cols, rows]).max() < 1e-6
    pixels = np.array([[point.col, point.row] for point in points]).T
    ground = np.array([[point.x, point.y] for point in points]).T
    np.testing.assert_allclose(image.pixel_to_lonlat(*pixels), ground, atol=1e-9)
    affine = np.array(from_gcps(points) @ pixels) - ground
    meters = np.hypot(affine[0] * np.cos(np.radians(ground[1])), affine[1]) * 111_320
    assert meters.max() > 400


def test_no_credentials_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A footprint is arithmetic: it makes no AWS session, even with credentials in the environment."""
    image = georeference(crs="EPSG:32631", transform=from_origin(500_000, 5_700_000, 10, 10))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("rasterio.session.AWSSession.__init__", lambda *_, **__: pytest.fail("an AWS session is made"))
    assert image.footprint(WHOLE)["type"] == "Polygon"
