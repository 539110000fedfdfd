"""The quantity of pixels, inferred from their type, their values and the request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagery.object_fixtures import geotiff, raster_of, speckled
from sarlens.errors import BadRequest
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.formats.infer_quantity import infer_quantity

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
DECIBELS = 10 * np.log10(speckled((64, 64), looks=4)) - 12


@pytest.mark.parametrize(
    ("pixels", "scale", "quantity"),
    [
        (DECIBELS, "auto", Quantity.DECIBEL),
        (DECIBELS.round().astype(np.int16), "auto", Quantity.DECIBEL),
        (DECIBELS + 60, "auto", Quantity.INTENSITY),
        (DECIBELS + 60, "db", Quantity.DECIBEL),
        (speckled((64, 64)), "auto", Quantity.INTENSITY),
        (speckled((64, 64)) - np.float32(0.9), "auto", Quantity.INTENSITY),
        (DECIBELS, "linear", Quantity.INTENSITY),
        (np.ones((4, 4), np.uint8), "auto", Quantity.BRIGHTNESS),
        (np.ones((4, 4), np.uint8), "linear", Quantity.AMPLITUDE),
        (np.ones((4, 4), np.uint8), "db", Quantity.DECIBEL),
        (np.ones((4, 4), np.uint16), "auto", Quantity.AMPLITUDE),
        (np.ones((4, 4), np.complex64), "auto", Quantity.COMPLEX),
        (np.ones((4, 4), np.complex64), "linear", Quantity.COMPLEX),
        (np.full((4, 4), np.nan, np.float32), "auto", Quantity.INTENSITY),
    ],
)
def test_the_quantity_is_inferred_or_requested(pixels: Any, scale: str, quantity: Quantity) -> None:
    """Numbers below 0 reveal decibels, in integers too; the scale of the request takes precedence."""
    assert raster_of(geotiff(pixels), scale=scale).quantity is quantity


def infer(values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Quantity:
    """Infer the quantity of one row of values."""
    valid = np.ones(values.shape, dtype=bool) if valid is None else valid
    return infer_quantity(values[np.newaxis, np.newaxis], valid[np.newaxis], values.dtype, "auto")


@pytest.mark.parametrize(
    ("negative", "level", "quantity"),
    [(10, -1.0, Quantity.DECIBEL), (9, -1.0, Quantity.INTENSITY), (10, -0.999, Quantity.INTENSITY)],
)
def test_a_tenth_of_the_values_at_minus_one_makes_decibels(negative: int, level: float, quantity: Quantity) -> None:
    """Of 100 values, ten of -1 or less are needed."""
    values = np.ones(100)
    values[:negative] = level
    assert infer(values) is quantity
    assert infer(values.astype(np.float32)) is quantity


@pytest.mark.parametrize(
    ("low", "high", "accepted"),
    [(-120.0, 80.0, True), (-120.5, 80.0, False), (-120.0, 80.5, False)],
)
def test_decibels_range_from_minus_120_to_80(low: float, high: float, accepted: bool) -> None:
    """The 1st and the 99th percentile must be in this range; otherwise the request must state the scale."""
    values = np.repeat([low, high], 100)
    if accepted:
        assert infer(values) is Quantity.DECIBEL
    else:
        with pytest.raises(BadRequest, match=f"from {low:g} to {high:g}") as caught:
            infer(values)
        assert caught.value.param == "sar.scale"


def test_one_percent_of_outliers_is_ignored() -> None:
    """Fewer than 1 % of values outside the range don't change the quantity."""
    values = np.full(1000, -12.0)
    values[:5], values[-5:] = -9999, 9999
    assert infer(values) is Quantity.DECIBEL


def test_invalid_pixels_do_not_count() -> None:
    """Nodata of -99 doesn't make linear power decibels."""
    values = np.where(np.arange(100) < 50, -99, 0.1)
    assert infer(values) is Quantity.DECIBEL
    assert infer(values, values > 0) is Quantity.INTENSITY


def test_a_large_image_is_sampled_everywhere() -> None:
    """In a million values, a last tenth of decibels is found."""
    values = np.ones(2**20, np.float32)
    values[-(2**17) :] = -12
    assert infer(values) is Quantity.DECIBEL


@pytest.mark.parametrize(
    ("pixels", "scale", "message"),
    [(-1000 * speckled((9, 9)).astype(np.int16) - 900, "auto", "neither"), (1j, "db", 'can\'t be "db"')],
)
def test_an_ambiguous_quantity_is_an_error(pixels: Any, scale: str, message: str) -> None:
    """Values that are neither power nor decibels, and complex decibels, are rejected."""
    with pytest.raises(BadRequest, match=message) as caught:
        raster_of(geotiff(pixels * np.ones((9, 9), np.asarray(pixels).dtype)), scale=scale)
    assert caught.value.param == "sar.scale"
