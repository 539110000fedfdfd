"""The steps from a measurement to a picture, each alone and then together."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from imagery.blobs import geotiff, raster_of, speckled
from sarlens.errors import BadRequest
from sarlens.imagery.radiometry import decibels, detect, looks_across, multilook
from sarlens.imagery.raster import Picture, Quantity, Raster
from sarlens.imagery.render import develop, reduce
from sarlens.imagery.stretch import composite, stretch
from sarlens.request import Looks, Render, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
PLAIN = Render(preset="plain")


def raster(pixels: Any, quantity: Quantity, valid: Any = None) -> Raster:
    """A raster of (band, row, col) or (row, col)."""
    planes = np.asarray(pixels)
    planes = planes if planes.ndim == 3 else planes[np.newaxis]
    mask = np.ones(planes.shape[1:], dtype=bool) if valid is None else np.asarray(valid)
    names = tuple(str(band) for band in range(1, len(planes) + 1))
    return Raster(planes, mask, names, quantity, Window(0, 0, mask.shape[1], mask.shape[0]))


def drawn(picture: Picture) -> NDArray[np.uint8]:
    """The pixels (row, col, channel) of a picture, as a model sees them."""
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.format == "PNG"
        assert image.size == (picture.width, picture.height)
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("pixels", "quantity", "power"),
    [
        (np.array([[3 + 4j, -2j]], np.complex64), Quantity.COMPLEX, [25, 4]),
        (np.array([[3, 65535]], np.uint16), Quantity.AMPLITUDE, [9, 65535.0**2]),
        (np.array([[0.25, -0.5]], np.float64), Quantity.INTENSITY, [0.25, -0.5]),
        (np.array([[-10, 20]], np.int16), Quantity.DECIBEL, [0.1, 100]),
    ],
)
def test_every_quantity_is_detected_as_power(pixels: Any, quantity: Quantity, power: list[float]) -> None:
    """Complex numbers and amplitudes are squared, decibels raised, power is left as it is."""
    detected = detect(raster(pixels, quantity))
    np.testing.assert_allclose(detected.pixels[0, 0], power, rtol=1e-5)
    assert detected.quantity is Quantity.INTENSITY
    assert detected.pixels.dtype == np.float32
    assert detected.valid.all()


def test_what_cannot_be_power_is_not_measured() -> None:
    """A negative amplitude, a decibel that stands for nodata, NaN and infinity measure nothing and hold 0."""
    for pixels, quantity in [
        (np.array([[5, -9999]], np.int16), Quantity.AMPLITUDE),
        (np.array([[-5, -9999]], np.float32), Quantity.DECIBEL),
        (np.array([[5, 65535]], np.uint16), Quantity.DECIBEL),
        (np.array([[5, np.nan]], np.float32), Quantity.INTENSITY),
        (np.array([[5, np.inf]], np.complex64), Quantity.COMPLEX),
    ]:
        detected = detect(raster(pixels, quantity))
        assert detected.valid.tolist() == [[True, False]]
        assert detected.pixels[0, 0, 1] == 0


def test_zeros_are_fill_only_where_they_fill_a_square() -> None:
    """The zeros that pad a product are not measured, whatever their outline; single dark pixels are."""
    amplitude = np.full((60, 60), 50, np.uint16)
    corner = np.add.outer(np.arange(60), np.arange(60)) < 30
    amplitude[corner] = 0
    amplitude[40, 40] = amplitude[50:53, 50:53] = 0
    detected = detect(raster(amplitude, Quantity.AMPLITUDE))
    assert detected.valid[40, 40]
    assert detected.valid[50:53, 50:53].all()
    assert not detected.valid[:20, :5].any()
    assert detected.valid[~corner].all()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 7), st.integers(2, 7), st.booleans())
@settings(deadline=None)
def test_multilook_is_the_mean_of_what_was_measured(rows: int, cols: int, across: int, down: int, masked: bool) -> None:
    """Each cell is the mean power of its measured pixels, those at the far edges included."""
    random = np.random.default_rng(rows * cols)
    valid = random.random((rows, cols)) > 0.3 if masked else np.ones((rows, cols), dtype=bool)
    power = np.where(valid, random.random((2, rows, cols)), 0).astype(np.float32)
    averaged = multilook(raster(power, Quantity.INTENSITY, valid), Looks(across, down))
    assert averaged.shape == (-(-rows // down), -(-cols // across))
    for row, col in np.ndindex(averaged.shape):
        cell = np.s_[row * down : (row + 1) * down, col * across : (col + 1) * across]
        assert averaged.valid[row, col] == valid[cell].any()
        for band in (0, 1):
            values = power[band][cell][valid[cell]]
            assert averaged.pixels[band, row, col] == pytest.approx(values.mean() if values.size else 0, rel=1e-5)


@pytest.mark.parametrize(("longest", "looks"), [(100, 1), (448, 1), (1343, 1), (1345, 2), (2048, 2), (9000, 10)])
def test_about_twice_the_size_of_the_picture_is_left_to_filter(longest: int, looks: int) -> None:
    """The number of looks brings the longest side near to twice the picture's."""
    assert looks_across((longest, 10), 448) == looks


def test_decibels_are_ten_times_the_logarithm() -> None:
    """Power without a logarithm is not measured."""
    level = decibels(raster(np.array([[1, 1000, 0, -1]], np.float32), Quantity.INTENSITY))
    np.testing.assert_allclose(level.pixels[0, 0, :2], [0, 30], atol=1e-5)
    assert level.valid.tolist() == [[True, True, False, False]]


@given(st.floats(0, 49), st.floats(51, 100))
@settings(deadline=None)
def test_the_stretch_is_linear_between_percentiles(low: float, high: float) -> None:
    """The two percentiles become 0 and 255, what lies between is linear, what lies beyond is clipped."""
    level = np.random.default_rng(0).normal(-12, 4, (40, 50)).astype(np.float32)
    black, white = np.percentile(level, (low, high))
    expected = np.clip((level - black) * 255 / (white - black), 0, 255)
    bright = stretch(raster(level, Quantity.DECIBEL), (low, high))
    assert np.abs(bright.pixels[0] - expected).max() <= 0.51
    assert bright.quantity is Quantity.PICTURE


def test_nodata_is_black_and_outside_the_statistics() -> None:
    """What stands where nothing was measured moves no percentile and is drawn black."""
    level = np.random.default_rng(0).normal(-12, 4, (64, 64)).astype(np.float32)
    valid = np.random.default_rng(1).random((64, 64)) > 0.4
    bright = stretch(raster(np.where(valid, level, -99), Quantity.DECIBEL, valid), (2, 98))
    again = stretch(raster(np.where(valid, level, 500), Quantity.DECIBEL, valid), (2, 98))
    np.testing.assert_array_equal(bright.pixels, again.pixels)
    assert (bright.pixels[0][~valid] == 0).all()
    assert bright.pixels[0][valid].min() == 0
    assert bright.pixels[0][valid].max() == 255


def test_a_constant_image_is_mid_grey() -> None:
    """Without contrast there is nothing to divide by, and the picture is neither black nor white."""
    for level in (-12.0, 0.0, 40.0):
        bright = stretch(raster(np.full((8, 8), level, np.float32), Quantity.DECIBEL), (2, 98))
        assert np.unique(bright.pixels).tolist() in ([127], [128])


def test_two_bands_are_composed_with_their_ratio() -> None:
    """Red is the first, green the second, blue their difference in decibels, each stretched by itself."""
    first, second = np.random.default_rng(0).normal(-12, 4, (2, 32, 32)).astype(np.float32)
    composed = composite(raster([first, second], Quantity.DECIBEL))
    np.testing.assert_array_equal(composed.pixels, [first, second, first - second])
    bright = stretch(composed, (2, 98))
    for band, level in zip(bright.pixels, composed.pixels, strict=True):
        np.testing.assert_array_equal(band, stretch(raster(level, Quantity.DECIBEL), (2, 98)).pixels[0])


def test_two_bands_of_a_picture_are_composed_by_brightness() -> None:
    """Of an 8-bit picture the third band is mid grey where the two are equal."""
    composed = composite(raster([[[0, 255, 90]], [[255, 0, 90]]], Quantity.PICTURE))
    assert composed.pixels[2].tolist() == [[0, 255, 128]]


def test_one_band_and_three_stay_as_they_are() -> None:
    """One band is drawn grey, three are red, green and blue."""
    levels = np.random.default_rng(0).normal(-12, 4, (3, 32, 32)).astype(np.float32)
    grey = drawn(develop(raster(levels[0], Quantity.DECIBEL), PLAIN, 448))
    assert (grey == grey[:, :, :1]).all()
    colour = drawn(develop(raster(levels, Quantity.DECIBEL), PLAIN, 448))
    for channel, level in enumerate(levels):
        alone = drawn(develop(raster(level, Quantity.DECIBEL), PLAIN, 448))
        np.testing.assert_array_equal(colour[:, :, channel], alone[:, :, 0])


@pytest.mark.parametrize(
    ("rows", "cols", "side", "size"),
    [(100, 200, 50, (50, 25)), (200, 100, 50, (25, 50)), (30, 40, 50, (40, 30)), (1, 5000, 16, (16, 1))],
)
def test_a_picture_keeps_its_shape_and_is_never_enlarged(
    rows: int, cols: int, side: int, size: tuple[int, int]
) -> None:
    """The longest side is at most the size asked for; the other follows, and is at least a pixel."""
    assert reduce(raster(np.zeros((rows, cols), np.uint8), Quantity.PICTURE), side).size == size


@pytest.mark.parametrize(("bands", "mode"), [(1, "L"), (2, "RGB"), (3, "RGB")])
def test_a_picture_of_one_band_is_packed_as_grey(bands: int, mode: str) -> None:
    """What has one channel weighs as much as one; composites have three."""
    pixels = np.random.default_rng(0).integers(1, 500, (bands, 40, 60)).astype(np.uint16)
    picture = develop(raster(pixels, Quantity.AMPLITUDE), Render(), 64)
    assert Image.open(io.BytesIO(picture.data)).mode == mode


def test_nodata_does_not_darken_its_neighbours() -> None:
    """Where a picture is reduced over an edge of nodata, a pixel is as bright as its measured part, or black."""
    valid = np.add.outer(np.arange(90), np.arange(90)) > 60
    picture = raster(np.where(valid, np.uint8(200), np.uint8(0)), Quantity.PICTURE, valid)
    levels = np.unique(np.asarray(reduce(picture, 41)))
    assert set(levels.tolist()) <= {0, 199, 200, 201}


def test_the_size_asked_for_goes_before_the_size_of_the_model() -> None:
    """``size`` of the request is the longest side, whatever the model sees."""
    image = raster(speckled((64, 128)), Quantity.INTENSITY)
    assert develop(image, Render(size=32), 448).width == 32
    assert develop(image, Render(), 16).width == 16


@pytest.mark.parametrize("quantity", [q for q in Quantity if q is not Quantity.PICTURE])
def test_a_scene_looks_the_same_in_whatever_quantity_it_comes(quantity: Quantity) -> None:
    """Complex, amplitude, power or decibels: the same scene gives the same picture, so nothing is logged twice."""
    power = speckled((64, 64), looks=4).astype(np.float64) * np.linspace(1, 50, 64)
    pixels = {
        Quantity.COMPLEX: np.sqrt(power) * np.exp(2j * np.pi * np.random.default_rng(0).random(power.shape)),
        Quantity.AMPLITUDE: np.sqrt(power),
        Quantity.INTENSITY: power,
        Quantity.DECIBEL: 10 * np.log10(power),
    }[quantity]
    expected = drawn(develop(raster(power, Quantity.INTENSITY), Render(), 448)).astype(int)
    assert np.abs(drawn(develop(raster(pixels, quantity), Render(), 448)) - expected).max() <= 1


def test_equal_asks_give_equal_bytes() -> None:
    """Rendering is deterministic: the same image and parameters give the same PNG."""
    data = geotiff(np.round(300 * np.sqrt(speckled((300, 300), looks=2))).astype(np.uint16))
    first, second = (develop(raster_of(data), Render(size=128), 448) for _ in range(2))
    assert first == second


def test_a_picture_follows_the_land_and_not_the_speckle() -> None:
    """Rendered as the paper does, one look of a scene of three terrains shows three grey levels."""
    ground = np.repeat([0.01, 0.1, 1.0], 200)
    image = raster(ground * speckled((600, 600)), Quantity.INTENSITY)
    calm = drawn(develop(image, Render(), 200))[:, :, 0].astype(float)
    bands = [calm[:, 10:56], calm[:, 77:123], calm[:, 144:190]]
    means, scatters = [band.mean() for band in bands], [band.std() for band in bands]
    assert means[1] - means[0] > 4 * max(scatters)
    assert means[2] - means[1] > 4 * max(scatters)


@pytest.mark.parametrize("pixels", [np.zeros((32, 32), np.uint16), np.full((32, 32), np.nan, np.float32)])
def test_nothing_measured_is_no_picture(pixels: Any) -> None:
    """A window of fill or NaN is refused with a sentence, not drawn as a black square."""
    with pytest.raises(BadRequest, match="no measured pixel"):
        develop(raster_of(geotiff(pixels)), Render(), 448)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(list(Quantity)), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_raster_has_a_picture(rows: int, cols: int, quantity: Quantity, seed: int) -> None:
    """Whatever its shape and quantity, a raster with a measured pixel is drawn."""
    random = np.random.default_rng(seed)
    pixels = random.integers(1, 255, (random.integers(1, 4), rows, cols)).astype(np.uint8)
    valid = random.random((rows, cols)) > 0.5
    valid[0, 0] = True
    picture = develop(raster(pixels, quantity, valid), Render(size=16), 448)
    assert drawn(picture).shape == (picture.height, picture.width, 3)
