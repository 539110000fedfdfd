"""Statistics and points over REST, against values that the test computes."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from pyproj import Transformer
from rasterio.transform import Affine

from support.georeferenced_scenes import geotiff

ROWS, COLS = 40, 64
AFFINE = Affine(10, 0, 500_000, 0, -10, 5_000_000)


@pytest.fixture(scope="module")
def pixels() -> Any:
    """Amplitudes (row, col), with fill at the lower edge."""
    amplitudes = np.random.default_rng(5).integers(20, 300, (ROWS, COLS)).astype(np.uint16)
    amplitudes[30:] = 0
    return amplitudes


@pytest.fixture(scope="module")
def scene(pixels: Any) -> str:
    """A data: URL of the amplitudes."""
    tiff = geotiff(pixels, blockxsize=64, blockysize=64)
    return f"data:image/tiff;base64,{base64.b64encode(tiff).decode()}"


async def get(endpoint: str, **query: str) -> tuple[int, Any]:
    """Status and document of an answer."""
    async with aiohttp.ClientSession() as http, http.get(endpoint, params=query) as response:
        return response.status, json.loads(await response.read())


async def test_statistics_are_those_of_the_power(url: str, scene: str, pixels: Any) -> None:
    """Minimum, maximum, mean and percentiles of the squared amplitudes, and their decibels; fill is invalid."""
    power = pixels[:30].astype(float) ** 2
    status, found = await get(f"{url}/v1/sar/statistics", url=scene)
    assert status == 200, found
    assert (found["window"], found["reduction"], found["radiometry"]) == ([0, 0, COLS, ROWS], 1.0, "relative")
    (band,) = found["bands"]
    assert (band["name"], band["valid_ratio"]) == ("1", 0.75)
    linear = {name: band["linear"][name] for name in ("min", "max", "mean", "std")}
    truth = {"min": power.min(), "max": power.max(), "mean": power.mean(), "std": power.std()}
    assert linear == pytest.approx(truth, rel=1e-5)
    expected = dict(zip(("2", "25", "50", "75", "98"), np.percentile(power, (2, 25, 50, 75, 98)), strict=True))
    assert band["linear"]["percentiles"] == pytest.approx(expected, rel=1e-5)
    assert band["db"]["mean"] == pytest.approx(10 * np.log10(power.mean()), abs=1e-4)
    assert band["db"]["percentiles"]["50"] == pytest.approx(10 * np.log10(expected["50"]), abs=1e-4)


async def test_statistics_of_a_window_without_measurements_are_null(url: str, scene: str) -> None:
    """No pixel is valid: the share is 0, and there are no values."""
    status, found = await get(f"{url}/v1/sar/statistics", url=scene, window="0,32,16,8")
    assert (status, found["bands"]) == (200, [{"name": "1", "valid_ratio": 0.0, "linear": None, "db": None}])


async def test_a_point_is_the_same_by_pixel_and_by_position(url: str, scene: str, pixels: Any) -> None:
    """The pixel in column 12 of row 7: its power in decibels too, and the center of the pixel on the ground."""
    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(500_125, 4_999_925)
    power = float(pixels[7, 12]) ** 2
    status, by_pixel = await get(f"{url}/v1/sar/point", url=scene, x="12", y="7")
    assert status == 200, by_pixel
    assert (by_pixel["x"], by_pixel["y"]) == (12, 7)
    assert (by_pixel["lon"], by_pixel["lat"]) == pytest.approx((lon, lat), abs=1e-9)
    value = {"name": "1", "valid": True, "linear": power, "db": pytest.approx(10 * np.log10(power))}
    assert by_pixel["bands"] == [value]
    status, by_position = await get(f"{url}/v1/sar/point", url=scene, lon=str(lon), lat=str(lat))
    assert (status, by_position) == (200, by_pixel)
    _, fill = await get(f"{url}/v1/sar/point", url=scene, x="12", y="35")
    assert fill["bands"] == [{"name": "1", "valid": False, "linear": None, "db": None}]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"x": "64", "y": "0"}, "window_outside"),
        ({"lon": "4", "lat": "45"}, "window_outside"),
        ({"lon": "3"}, "bad_request"),
        ({"lon": "3", "lat": "45", "x": "1", "y": "1"}, "bad_request"),
        ({}, "bad_request"),
        ({"x": "1", "y": "1", "calibration": "sigma0"}, "calibration_missing"),
    ],
)
async def test_a_point_that_cannot_be_measured_is_refused(
    url: str, scene: str, query: dict[str, str], code: str
) -> None:
    """A pixel outside the image, half a position, both forms at once, and an image that can't be calibrated."""
    status, found = await get(f"{url}/v1/sar/point", url=scene, **query)
    assert (status // 100, found["error"]["code"]) == (4, code)
