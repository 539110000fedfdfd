"""GeoTIFFs of simulated scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from sarbench.simulate.geometry import Sensor
from sarbench.simulate.geotiff import CALIBRATION_CONSTANT, NODATA_DB, Encoding, write_geotiff
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Background
from sarbench.simulate.layouts.coastal_region import coastal_scene
from sarbench.simulate.scene import Scene

SEA = Scene(3, 300, 700, Sensor(5.0), [Background(LandCover.WATER)], [])


@pytest.mark.parametrize("encoding", list(Encoding))
def test_geotiff_metadata_and_pixels(tmp_path: Path, encoding: Encoding) -> None:
    """CRS, transform, data type, nodata, overviews, band name, and pixels match the scene."""
    path = tmp_path / "sea.tif"
    write_geotiff(SEA, path, encoding)
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 32631
        assert raster.transform.a == -raster.transform.e == 5.0
        assert (raster.height, raster.width) == (300, 700)
        assert raster.dtypes == (encoding.dtype,)
        assert raster.descriptions == ("VV",)
        assert raster.nodata == {Encoding.DN: 0, Encoding.DB: NODATA_DB}.get(encoding)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.overviews(1)
        pixels = raster.read(1)
    sigma0 = SEA.intensity(SEA.window)
    power = {
        Encoding.DN: lambda: (pixels / CALIBRATION_CONSTANT) ** 2,
        Encoding.LINEAR: lambda: pixels,
        Encoding.DB: lambda: 10 ** (pixels / 10),
        Encoding.SLC: lambda: np.abs(pixels) ** 2,
    }[encoding]()
    if encoding is Encoding.SLC:
        assert power.mean() == pytest.approx(sigma0.mean(), rel=0.05)
    else:
        assert np.allclose(power, sigma0, rtol=0.05, atol=1e-4)


def test_two_polarizations_are_two_named_bands(tmp_path: Path) -> None:
    """VV and VH are named bands; over water, VH is over 4 dB lower and has independent speckle."""
    write_geotiff(SEA, tmp_path / "dual.tif", Encoding.DB, polarizations=("VV", "VH"))
    with rasterio.open(tmp_path / "dual.tif") as raster:
        assert raster.descriptions == ("VV", "VH")
        first, second = raster.read()
    assert (first - second).mean() > 4
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.15


def test_a_margin_is_nodata(tmp_path: Path) -> None:
    """The margin is nodata, and the pixels inside are not."""
    write_geotiff(SEA, tmp_path / "edge.tif", Encoding.DB, margin=9)
    with rasterio.open(tmp_path / "edge.tif") as raster:
        empty = raster.read(1) == NODATA_DB
    assert not empty[9:-9, 9:-9].any()
    empty[9:-9, 9:-9] = True
    assert empty.all()


def test_file_blocks_equal_the_scene(tmp_path: Path) -> None:
    """A file with several blocks equals the scene rendered at once."""
    coast = coastal_scene(2, 600, 1500, 10.0)
    write_geotiff(coast, tmp_path / "coast.tif", Encoding.LINEAR)
    with rasterio.open(tmp_path / "coast.tif") as raster:
        assert np.array_equal(raster.read(1), coast.intensity(coast.window))
