"""Rendering of a raster as an image: size, channels, nodata, and the whole pipeline."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagery.object_fixtures import geotiff, make_raster, raster_of, rgb_pixels, speckled
from sarlens.errors import NoValidPixels
from sarlens.imagery.calibration.models import ConstantCalibration
from sarlens.imagery.core.radiometry import detect, multilook, to_db
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.render.pipeline import render, resize
from sarlens.imagery.render.speckle import despeckle
from sarlens.imagery.render.stretch import stretch
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
PLAIN = RenderParams(preset="plain")


def test_the_pipeline_is_its_steps_in_order() -> None:
    """Detection, looks, calibration, filter, decibels and stretch, in this order, give the pixels of the image."""
    amplitude = make_raster(np.round(300 * np.sqrt(speckled((1200, 1600)))).astype(np.uint16), Quantity.AMPLITUDE)
    params = RenderParams(calibration="sigma0", filter="lee", stretch=(1, 99), size=400)
    power = ConstantCalibration(1e-4).calibrate(multilook(detect(amplitude), Looks(2, 2)))
    assert power.shape == (600, 800)
    expected = resize(stretch(to_db(despeckle(power, "lee")), (1, 99)), 400)
    rendered = render(amplitude, params, 448, ConstantCalibration(1e-4))
    np.testing.assert_array_equal(rgb_pixels(rendered)[:, :, 0], np.asarray(expected))


def test_one_band_and_three_stay_as_they_are() -> None:
    """One band is gray; three are red, green and blue."""
    levels = np.random.default_rng(0).normal(-12, 4, (3, 32, 32)).astype(np.float32)
    gray = rgb_pixels(render(make_raster(levels[0], Quantity.DECIBEL), PLAIN, 448))
    assert (gray == gray[:, :, :1]).all()
    color = rgb_pixels(render(make_raster(levels, Quantity.DECIBEL), PLAIN, 448))
    for channel, level in enumerate(levels):
        alone = rgb_pixels(render(make_raster(level, Quantity.DECIBEL), PLAIN, 448))
        np.testing.assert_array_equal(color[:, :, channel], alone[:, :, 0])


@pytest.mark.parametrize(
    ("rows", "cols", "side", "size"),
    [(100, 200, 50, (50, 25)), (200, 100, 50, (25, 50)), (30, 40, 50, (40, 30)), (1, 5000, 16, (16, 1))],
)
def test_an_image_keeps_its_aspect_ratio_and_is_never_enlarged(
    rows: int, cols: int, side: int, size: tuple[int, int]
) -> None:
    """The longest side is at most the requested size; the other is proportional, and at least one pixel."""
    assert resize(make_raster(np.zeros((rows, cols), np.uint8), Quantity.BRIGHTNESS), side).size == size


@pytest.mark.parametrize(
    ("enlarge", "size", "shape"), [(1, 256, (40, 30)), (4, 256, (160, 120)), (8, 256, (256, 192)), (8, 20, (20, 15))]
)
def test_a_small_image_is_enlarged_on_request(enlarge: int, size: int, shape: tuple[int, int]) -> None:
    """A picture of 40 x 30 pixels grows to the size, by ``enlarge`` at most; its values stay between the pixels'."""
    levels = np.tile(np.array([[40], [200]], np.uint8), (15, 40))
    raster = make_raster(levels, Quantity.BRIGHTNESS)
    rendered = render(raster, RenderParams(enlarge=enlarge), size)
    assert (rendered.width, rendered.height) == shape
    assert rendered.frame.reduction((1, 1)) == pytest.approx(40 / shape[0])
    pixels = rgb_pixels(rendered)
    assert pixels.min() >= 40
    assert pixels.max() <= 200


@pytest.mark.parametrize(("bands", "mode"), [(1, "L"), (2, "RGB"), (3, "RGB")])
def test_one_band_is_encoded_as_grayscale(bands: int, mode: str) -> None:
    """One band has one channel; composites have three."""
    pixels = np.random.default_rng(0).integers(1, 500, (bands, 40, 60)).astype(np.uint16)
    rendered = render(make_raster(pixels, Quantity.AMPLITUDE), RenderParams(), 64)
    assert Image.open(io.BytesIO(rendered.data)).mode == mode
    assert (rendered.media_type, rendered.width, rendered.height) == ("image/png", 60, 40)


def test_nodata_does_not_darken_its_neighbors() -> None:
    """At an edge of nodata, a reduced pixel is as bright as its valid part, or black."""
    valid = np.add.outer(np.arange(90), np.arange(90)) > 60
    raster = make_raster(np.where(valid, np.uint8(200), np.uint8(0)), Quantity.BRIGHTNESS, valid)
    levels = np.unique(np.asarray(resize(raster, 41)))
    assert set(levels.tolist()) <= {0, 199, 200, 201}


@pytest.mark.parametrize(("invalid", "level"), [(1, 200), (3, 0), (4, 0)])
def test_a_reduced_pixel_is_black_if_it_is_more_than_half_invalid(invalid: int, level: int) -> None:
    """Of 2 x 2 pixels of brightness 200, one may be invalid, and three may not."""
    valid = np.ones((16, 16), dtype=bool)
    valid[np.unravel_index(range(invalid), (2, 2))] = False
    raster = make_raster(np.where(valid, np.uint8(200), np.uint8(0)), Quantity.BRIGHTNESS, valid)
    assert np.asarray(resize(raster, 8))[0, 0] == level


def test_the_requested_size_precedes_the_size_of_the_model() -> None:
    """``size`` of the request is the longest side, and the model's size the default."""
    raster = make_raster(speckled((64, 128)), Quantity.INTENSITY)
    assert render(raster, RenderParams(size=32), 448).width == 32
    assert render(raster, RenderParams(), 16).width == 16


@pytest.mark.parametrize("quantity", [quantity for quantity in Quantity if quantity is not Quantity.BRIGHTNESS])
def test_a_scene_is_rendered_equally_from_every_quantity(quantity: Quantity) -> None:
    """Complex, amplitude, power or decibels of one scene differ by at most one gray level: no logarithm is repeated."""
    power = speckled((64, 64), looks=4).astype(np.float64) * np.linspace(1, 50, 64)
    pixels = {
        Quantity.COMPLEX: np.sqrt(power) * np.exp(2j * np.pi * np.random.default_rng(0).random(power.shape)),
        Quantity.AMPLITUDE: np.sqrt(power),
        Quantity.INTENSITY: power,
        Quantity.DECIBEL: 10 * np.log10(power),
    }[quantity]
    expected = rgb_pixels(render(make_raster(power, Quantity.INTENSITY), RenderParams(), 448)).astype(int)
    assert np.abs(rgb_pixels(render(make_raster(pixels, quantity), RenderParams(), 448)) - expected).max() <= 1


def test_equal_requests_give_equal_bytes() -> None:
    """Rendering is deterministic: the same image and parameters give the same PNG."""
    data = geotiff(np.round(300 * np.sqrt(speckled((300, 300), looks=2))).astype(np.uint16))
    first, second = (render(raster_of(data), RenderParams(size=128), 448) for _ in range(2))
    assert first == second


def test_brightness_follows_the_terrain_and_not_the_speckle() -> None:
    """Single-look power of three terrains 10 dB apart is rendered as three gray levels."""
    ground = np.repeat([0.01, 0.1, 1.0], 200)
    raster = make_raster(ground * speckled((600, 600)), Quantity.INTENSITY)
    gray = rgb_pixels(render(raster, RenderParams(), 200))[:, :, 0].astype(float)
    bands = [gray[:, 10:56], gray[:, 77:123], gray[:, 144:190]]
    means, scatters = [band.mean() for band in bands], [band.std() for band in bands]
    assert means[1] - means[0] > 4 * max(scatters)
    assert means[2] - means[1] > 4 * max(scatters)


@pytest.mark.parametrize("pixels", [np.zeros((32, 32), np.uint16), np.full((32, 32), np.nan, np.float32)])
def test_a_window_without_valid_pixels_is_rejected(pixels: Any) -> None:
    """A window of fill or NaN is an error, not a black image."""
    with pytest.raises(NoValidPixels, match="no valid pixel"):
        render(raster_of(geotiff(pixels)), RenderParams(), 448)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(list(Quantity)), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_raster_with_a_valid_pixel_is_rendered(rows: int, cols: int, quantity: Quantity, seed: int) -> None:
    """A raster of any shape and quantity gives a PNG of the declared size."""
    random = np.random.default_rng(seed)
    pixels = random.integers(1, 255, (random.integers(1, 4), rows, cols)).astype(np.uint8)
    valid = random.random((rows, cols)) > 0.5
    valid[0, 0] = True
    rendered = render(make_raster(pixels, quantity, valid), RenderParams(size=16), 448)
    assert rgb_pixels(rendered).shape == (rendered.height, rendered.width, 3)
