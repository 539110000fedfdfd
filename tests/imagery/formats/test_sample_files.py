"""Real radar images, if they are next to this repository."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from imagery.object_fixtures import RecordingReader, raster_of
from sarlens.imagery.core.raster import Quantity, RenderedImage
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams
from support.sar_samples import SAMPLES

pytestmark = [
    pytest.mark.samples,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the radar samples aren't next to this repository"),
]


def sample(name: str) -> bytes:
    """Return the bytes of the sample whose name starts with ``name``."""
    return next(SAMPLES.glob(f"{name}*")).read_bytes()


def contrast(rendered: RenderedImage) -> float:
    """Return the standard deviation of the brightness of the pixels that aren't black."""
    gray = np.asarray(Image.open(io.BytesIO(rendered.data)).convert("L"))
    return float(gray[gray > 0].std())


def test_a_sentinel_1_grd_without_geotransform_is_read_from_an_overview() -> None:
    """The 16-bit COG with ground control points is AMPLITUDE; at 128 pixels, less than a fifth of it is fetched."""
    data = sample("riotiler_s1_iw_grd_cog_gcps")
    full = raster_of(data, size=1280)
    assert (full.shape, full.quantity) == ((837, 1280), Quantity.AMPLITUDE)
    assert raster_of(data, size=128).shape == (210, 320)
    reader = RecordingReader(data)
    read_image(reader, RenderParams(), 128, DecodeLimits())
    assert reader.bytes_fetched < reader.size / 5
    rendered = render(full, RenderParams(), 448)
    assert (rendered.width, rendered.height) == (448, 293)
    assert 40 < contrast(rendered) < 90


def test_a_terrain_corrected_image_in_decibels_stays_decibels() -> None:
    """The float32 image is DECIBEL, and its nodata of -99 is invalid."""
    raster = raster_of(sample("S1A__IW___A"))
    assert (raster.shape, raster.quantity) == ((217, 268), Quantity.DECIBEL)
    assert raster.pixels[0][raster.valid].min() > -30
    assert 40 < contrast(render(raster, RenderParams(), 448)) < 90


@pytest.mark.parametrize("name", ["282D", "38D", "433D", "609U", "637U"])
def test_two_bands_without_names_are_vv_and_vh(name: str) -> None:
    """The bands of these dB chips have equal names; VV selects the first, which is stronger."""
    data = sample(f"terramesh_s1rtc_{name}")
    raster = raster_of(data, bands=("VV", "VH"))
    assert raster.quantity is Quantity.DECIBEL
    assert np.median(raster.pixels[0]) > np.median(raster.pixels[1])
    assert contrast(render(raster, RenderParams(), 448)) > 20
    assert raster_of(data).bands == ("1",)


def test_an_iceye_image_of_ten_pixels_is_read() -> None:
    """An image of 10 x 10 pixels with hundreds of tags and control points is read and rendered."""
    raster = raster_of(sample("ICEYE_GRD"))
    assert (raster.shape, raster.quantity) == ((10, 10), Quantity.AMPLITUDE)
    assert render(raster, RenderParams(), 448).width == 10
