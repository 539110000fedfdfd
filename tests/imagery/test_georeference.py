"""Where images lie: affine and control points, there and back, footprints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.transform import from_gcps, from_origin

from conftest import SAMPLES
from imagery.blobs import geotiff
from sarlens.errors import NotGeoreferenced
from sarlens.imagery.georeference import Georeference
from sarlens.imagery.rings import area
from sarlens.request import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIDE = 200
WHOLE = Window(0, 0, SIDE, SIDE)
samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are not beside this repository")


def placed(**options: Any) -> Georeference:
    """The georeference of an image of 200 x 200 pixels."""
    with MemoryFile(geotiff(np.zeros((SIDE, SIDE), dtype=np.uint8), **options)) as held, held.open() as dataset:
        return Georeference.of(dataset, "s3://scenes/port.tif")


def swath(cols: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], lon: float = 10.0) -> tuple[Any, Any]:
    """A ground that no affine describes: turned, sheared and bent, some 20 km across."""
    u, v = cols / SIDE, rows / SIDE
    return lon + 0.3 * u + 0.05 * v + 0.01 * u * v + 0.004 * u**2, 50 - 0.18 * v + 0.04 * u + 0.003 * np.sin(3 * u)


def control_points(lon: float = 10.0, count: int = 11) -> list[GroundControlPoint]:
    """A grid of control points on the swath, their longitudes between -180 and 180."""
    steps = np.linspace(0, SIDE, count)
    found = []
    for row in steps:
        for col in steps:
            x, y = swath(np.array(col), np.array(row), lon)
            found.append(GroundControlPoint(row=row, col=col, x=float((x + 180) % 360 - 180), y=float(y)))
    return found


@pytest.mark.parametrize(
    "place",
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
def test_places_come_back_to_their_pixel(place: dict[str, Any]) -> None:
    """From a pixel to longitude and latitude and back, nothing moves by a hundredth of a pixel."""
    image = placed(**place)
    cols, rows = (each.ravel() for each in np.meshgrid(np.linspace(0, SIDE, 23), np.linspace(0, SIDE, 17)))
    lon, lat = image.lonlat(cols, rows)
    assert ((lon >= -180) & (lon < 180)).all()
    back = np.array(image.pixels(lon, lat))
    np.testing.assert_allclose(back, np.array([cols, rows]), atol=0.01)


def test_an_affine_is_exact_and_longitude_comes_first() -> None:
    """The corner and the pixel size of a geotransform are the corner and the pixel size on the map."""
    image = placed(crs="EPSG:4326", transform=from_origin(10, 50, 0.001, 0.002))
    lon, lat = image.lonlat(np.array([0.0, 100.0]), np.array([0.0, 50.0]))
    np.testing.assert_allclose(lon, [10, 10.1])
    np.testing.assert_allclose(lat, [50, 49.9])


def test_a_projected_image_lies_where_mercator_says() -> None:
    """Web Mercator by its own formula (spherical, R = 6378137 m) agrees with what is computed by PROJ."""
    image = placed(crs="EPSG:3857", transform=from_origin(1_000_000, 6_000_000, 10, 10))
    lon, lat = image.lonlat(np.array([20.0]), np.array([40.0]))
    assert lon[0] == pytest.approx(math.degrees(1_000_200 / 6378137), abs=1e-9)
    assert lat[0] == pytest.approx(math.degrees(2 * math.atan(math.exp(5_999_600 / 6378137)) - math.pi / 2), abs=1e-9)


def test_control_points_are_interpolated_and_not_fitted() -> None:
    """Between the points the spline is within a tenth of a pixel of the truth, where one affine is off by a pixel."""
    image = placed(crs="EPSG:4326", gcps=control_points())
    cols, rows = (each.ravel() for each in np.meshgrid(np.linspace(5, 195, 20), np.linspace(5, 195, 20)))
    truth = swath(cols, rows)
    found = np.array(image.pixels(*truth))
    assert np.abs(found - [cols, rows]).max() < 0.1
    fitted = np.array(~from_gcps(control_points()) @ truth)
    assert np.abs(fitted - [cols, rows]).max() > 1


@pytest.mark.parametrize(
    "place",
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
def test_an_image_that_does_not_say_where_it_lies_is_refused(place: dict[str, Any]) -> None:
    """Without a usable geotransform or control points no place is made up, however the header is written."""
    with pytest.raises(NotGeoreferenced):
        placed(**place)


def test_a_footprint_of_degrees_has_four_corners() -> None:
    """A north-up image in degrees is a rectangle, counter-clockwise and closed as RFC 7946 wants."""
    image = placed(crs="EPSG:4326", transform=from_origin(10, 50, 0.001, 0.001))
    shape = image.footprint(Window(0, 0, 100, 50))
    assert shape["type"] == "Polygon"
    (ring,) = shape["coordinates"]
    corners = np.array([[10, 50], [10, 49.95], [10.1, 49.95], [10.1, 50], [10, 50]])
    np.testing.assert_allclose(np.array(ring), corners)
    assert area(np.array(ring)) > 0


def test_a_bent_footprint_follows_the_image() -> None:
    """Every point of the footprint of a swath is on the edge of the image, and so is the middle of every line of it."""
    image = placed(crs="EPSG:4326", gcps=control_points())
    ring = np.array(image.footprint(WHOLE)["coordinates"][0])
    for points, off in ((ring, 0.01), ((ring[1:] + ring[:-1]) / 2, 0.1)):
        cols, rows = image.pixels(*points.T)
        edge = np.minimum(np.minimum(cols, SIDE - cols), np.minimum(rows, SIDE - rows))
        assert np.abs(edge).max() < off
    assert len(ring) > 20


@pytest.mark.parametrize(
    "place",
    [
        {"crs": "EPSG:4326", "gcps": control_points(179.9)},
        {"crs": "EPSG:4326", "transform": from_origin(179.9, 10, 0.001, 0.001)},
        {"crs": "EPSG:4326", "transform": from_origin(-180.1, 10, 0.001, 0.001)},
        {"crs": "EPSG:32660", "transform": from_origin(820_000, 1_000_000, 100, 100)},
    ],
)
def test_a_footprint_is_cut_at_the_antimeridian(place: dict[str, Any]) -> None:
    """Two polygons meet at 180 degrees, one of them east and one west of it, and none spans the globe."""
    shape = placed(**place).footprint(WHOLE)
    assert shape["type"] == "MultiPolygon"
    east, west = (np.array(polygon[0]) for polygon in sorted(shape["coordinates"], key=lambda p: -p[0][0][0]))
    assert east[:, 0].max() == 180
    assert west[:, 0].min() == -180
    assert east[:, 0].min() > 175
    assert west[:, 0].max() < -175
    assert area(east) > 0 < area(west)


def test_a_footprint_around_a_pole_is_refused() -> None:
    """No ring of longitudes can say it."""
    with pytest.raises(NotGeoreferenced, match="pole"):
        placed(crs="EPSG:3031", transform=from_origin(-10_000, 10_000, 100, 100)).footprint(WHOLE)


@given(st.integers(0, 150), st.integers(0, 150), st.integers(1, 50), st.integers(1, 50))
def test_the_footprint_of_a_window_has_the_window_as_its_bounds(col: int, row: int, width: int, height: int) -> None:
    """Taken back to pixels, the footprint of a part of an image bounds that part."""
    image = placed(crs="EPSG:32631", transform=from_origin(500_000, 5_700_000, 10, 10))
    ring = np.array(image.footprint(Window(col, row, width, height))["coordinates"][0])
    cols, rows = image.pixels(*ring.T)
    found = (cols.min(), rows.min(), cols.max(), rows.max())
    np.testing.assert_allclose(found, (col, row, col + width, row + height), atol=0.01)


@pytest.mark.samples
@samples
def test_a_real_grd_comes_back_to_its_pixel() -> None:
    """On a real Sentinel-1 GRD the way there and back is under a pixel; one affine is off by hundreds of metres."""
    with rasterio.open(SAMPLES / "riotiler_s1_iw_grd_cog_gcps.tif") as dataset:
        image = Georeference.of(dataset, "the sample")
        points, _ = dataset.gcps
    cols, rows = (a.ravel() for a in np.meshgrid(np.linspace(0, image.width, 41), np.linspace(0, image.height, 31)))
    back = np.array(image.pixels(*image.lonlat(cols, rows)))
    assert np.abs(back - [cols, rows]).max() < 1e-6
    at = np.array([[point.col, point.row] for point in points]).T
    ground = np.array([[point.x, point.y] for point in points]).T
    np.testing.assert_allclose(image.lonlat(*at), ground, atol=1e-9)
    affine = np.array(from_gcps(points) @ at) - ground
    metres = np.hypot(affine[0] * np.cos(np.radians(ground[1])), affine[1]) * 111_320
    assert metres.max() > 400


def test_nobody_is_asked_for_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Placing a window on the map is arithmetic: no AWS session is made for it, whatever the environment says."""
    place = placed(crs="EPSG:32631", transform=from_origin(500_000, 5_700_000, 10, 10))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("rasterio.session.AWSSession.__init__", lambda *_, **__: pytest.fail("AWS is asked"))
    assert place.footprint(WHOLE)["type"] == "Polygon"
