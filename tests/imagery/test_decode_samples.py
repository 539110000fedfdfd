"""Real radar images, where they are at hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagery.blobs import BytesBlob, raster_of
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.raster import Picture, Quantity
from sarlens.imagery.render import develop
from sarlens.request import Render

SAMPLES = Path(__file__).parents[3] / "shared" / "sar_samples"
pytestmark = [
    pytest.mark.samples,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are not beside this repository"),
]


def sample(name: str) -> bytes:
    """The bytes of the one sample whose name begins so."""
    return next(SAMPLES.glob(f"{name}*")).read_bytes()


def spread(picture: Picture) -> float:
    """Standard deviation of the brightness of what is not black."""
    grey = np.asarray(Image.open(io.BytesIO(picture.data)).convert("L"))
    return float(grey[grey > 0].std())


def test_a_sentinel_1_grd_without_geotransform_is_shown_from_an_overview() -> None:
    """The 16-bit COG with ground control points is amplitude, its zero border is black, its overview is used."""
    data = sample("riotiler_s1_iw_grd_cog_gcps")
    full = raster_of(data, size=1280)
    assert (full.shape, full.quantity) == ((837, 1280), Quantity.AMPLITUDE)
    assert raster_of(data, size=128).shape == (210, 320)
    blob = BytesBlob(data)
    decode(blob, Render(), 128, Limits())
    assert blob.moved < blob.size / 5
    picture = develop(full, Render(), 448)
    assert (picture.width, picture.height) == (448, 293)
    assert 40 < spread(picture) < 90


def test_a_terrain_corrected_image_in_decibels_is_not_logged_twice() -> None:
    """The float32 dB image keeps its nodata of -99 out of the stretch."""
    raster = raster_of(sample("S1A__IW___A"))
    assert (raster.shape, raster.quantity) == ((217, 268), Quantity.DECIBEL)
    assert raster.pixels[0][raster.valid].min() > -30
    assert 40 < spread(develop(raster, Render(), 448)) < 90


@pytest.mark.parametrize("name", ["282D", "38D", "433D", "609U", "637U"])
def test_chips_of_two_nameless_bands_are_vv_and_vh(name: str) -> None:
    """The dB chips whose two bands carry the same name answer to VV and VH, the stronger being VV."""
    data = sample(f"terramesh_s1rtc_{name}")
    raster = raster_of(data, bands=("VV", "VH"))
    assert raster.quantity is Quantity.DECIBEL
    assert np.median(raster.pixels[0]) > np.median(raster.pixels[1])
    assert spread(develop(raster, Render(), 448)) > 20
    assert raster_of(data).bands == ("1",)


def test_an_iceye_image_of_ten_pixels_is_read() -> None:
    """Ten by ten pixels with hundreds of tags and control points are an image too."""
    raster = raster_of(sample("ICEYE_GRD"))
    assert (raster.shape, raster.quantity) == ((10, 10), Quantity.AMPLITUDE)
    assert develop(raster, Render(), 448).width == 10
