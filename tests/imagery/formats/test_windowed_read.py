"""Reading of windows in blocks of rows: looks, block boundaries and memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagery.object_fixtures import TILED, geotiff, raster_of
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.formats import windowed_read
from sarlens.imagery.formats.windowed_read import read_window
from sarlens.types.window import Looks, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


class ArrayDataset:
    """A dataset in memory that records its reads."""

    def __init__(self, pixels: NDArray[Any], block_rows: int) -> None:
        self.pixels = pixels
        self.dtype = pixels.dtype
        self.block_shape = (block_rows, pixels.shape[1])
        self.reads: list[Window] = []

    def read(self, bands: tuple[int, ...], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the pixels of a window, all valid."""
        self.reads.append(window)
        rows = slice(window.row, window.row + window.height)
        pixels = self.pixels[rows, window.col : window.col + window.width]
        return np.repeat(pixels[np.newaxis], len(bands), axis=0), np.ones(pixels.shape, dtype=bool)


def amplitudes(rows: int, cols: int) -> NDArray[np.uint16]:
    """Return random amplitudes."""
    return np.random.default_rng(0).integers(1, 100, (rows, cols)).astype(np.uint16)


def mean_power(dn: NDArray[Any], down: int, across: int) -> NDArray[np.float64]:
    """Return the mean power of cells, those at the edges included."""
    power = dn.astype(float) ** 2
    rows, cols = (np.arange(0, length, step) for length, step in zip(dn.shape, (down, across), strict=True))
    return np.array([[power[row : row + down, col : col + across].mean() for col in cols] for row in rows])


def test_blocks_of_rows_end_at_block_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1000 pixels in memory and 40 columns, blocks of 7 rows are read in groups of 3; none is read twice."""
    monkeypatch.setattr(windowed_read, "MAX_FULL_RES_PIXELS", 1000)
    dn = amplitudes(70, 50)
    dataset = ArrayDataset(dn, 7)
    raster = read_window(dataset, (0,), Window(5, 10, 40, 53), 8, None, "auto")
    assert dataset.reads == [Window(5, 10, 40, 18), Window(5, 28, 40, 21), Window(5, 49, 40, 14)]
    np.testing.assert_allclose(raster.pixels[0], mean_power(dn[10:63, 5:45], 3, 3), rtol=1e-5)
    assert raster.window == (5, 10, 40, 53)
    assert (raster.quantity, raster.quantity_before_detection) == (Quantity.INTENSITY, Quantity.AMPLITUDE)


@pytest.mark.parametrize(("limit", "heights"), [(2000, [50]), (1999, [40, 10])])
def test_a_window_up_to_the_limit_is_read_whole(
    limit: int, heights: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 x 50 pixels are read at once if 2000 may be in memory; with 1999, in two blocks of 20 rows, and the rest."""
    monkeypatch.setattr(windowed_read, "MAX_FULL_RES_PIXELS", limit)
    dn = amplitudes(50, 40)
    dataset = ArrayDataset(dn, 20)
    raster = read_window(dataset, (0,), Window(0, 0, 40, 50), 8, None, "auto")
    assert [window.height for window in dataset.reads] == heights
    if heights == [50]:
        np.testing.assert_array_equal(raster.pixels[0], dn)
        assert raster.quantity is Quantity.AMPLITUDE
    else:
        np.testing.assert_allclose(raster.pixels[0], mean_power(dn, 3, 3), rtol=1e-5)


def test_the_limit_is_four_million_pixels() -> None:
    """4 Mi pixels of one band may be in memory at full resolution."""
    assert windowed_read.MAX_FULL_RES_PIXELS == 4 * 1024 * 1024


@pytest.mark.parametrize("limit", [10**9, 1000])
def test_requested_looks_are_multiplied_by_those_of_the_size(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks of 2 x 1 leave 30 x 60 cells; for a size of 8 the largest side is then averaged by 4 in blocks."""
    monkeypatch.setattr(windowed_read, "MAX_FULL_RES_PIXELS", limit)
    dn = amplitudes(60, 60)
    raster = read_window(ArrayDataset(dn, 7), (0,), Window(0, 0, 60, 60), 8, Looks(2, 1), "auto")
    down, across = (1, 2) if limit > 3600 else (4, 8)
    np.testing.assert_allclose(raster.pixels[0], mean_power(dn, down, across), rtol=1e-5)


def test_an_8_bit_image_is_averaged_by_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels of BRIGHTNESS are averaged without detection, and rounded."""
    monkeypatch.setattr(windowed_read, "MAX_FULL_RES_PIXELS", 100)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    raster = read_window(ArrayDataset(pixels, 4), (0,), Window(0, 0, 32, 32), 8, None, "auto")
    expected = pixels.reshape(16, 2, 16, 2).mean(axis=(1, 3))
    assert raster.quantity is Quantity.BRIGHTNESS
    np.testing.assert_array_equal(raster.pixels[0], np.rint(expected))


def test_looks_may_be_taller_than_a_block_of_rows() -> None:
    """A very wide image, of which 300 rows become one, is averaged exactly."""
    raster = raster_of(geotiff(np.full((300, 40_000), 3, np.uint16)), size=16)
    assert raster.shape == (1, 32)
    np.testing.assert_array_equal(raster.pixels, 9)


@pytest.mark.parametrize("shape", [(1500, 3000), (300, 600)])
def test_looks_are_averaged_at_full_resolution(shape: tuple[int, int]) -> None:
    """Power is averaged over the requested looks, whole or in blocks of rows, and never read from an overview."""
    dn = np.random.default_rng(0).integers(1, 4000, shape).astype(np.uint16)
    raster = raster_of(geotiff(dn, **TILED, overviews=[2, 4]), looks=(4, 1))
    down = 2 if shape[0] > 1000 else 1
    power = dn.astype(float).reshape(shape[0] // down, down, -1, 4 * down) ** 2
    assert (raster.quantity, raster.quantity_before_detection) == (Quantity.INTENSITY, Quantity.AMPLITUDE)
    np.testing.assert_allclose(raster.pixels[0], power.mean(axis=(1, 3)), rtol=1e-5)


def test_looks_of_complex_pixels_are_means_of_power() -> None:
    """Each look is |DN|², so that phases don't cancel. An 8-bit image has no power and stays as it is."""
    turning = (np.exp(1j * np.arange(64 * 64)) * 7).reshape(64, 64).astype(np.complex64)
    np.testing.assert_allclose(raster_of(geotiff(turning), looks=(8, 2)).pixels, 49, rtol=1e-5)
    assert raster_of(geotiff(np.ones((64, 64), dtype=np.uint8)), looks=(8, 2)).shape == (64, 64)


def test_the_first_block_with_valid_pixels_determines_the_quantity() -> None:
    """A large dB image whose first rows are nodata is still inferred to be dB."""
    level = np.full((5000, 2000), -12, np.float32)
    level[:4500] = np.nan
    raster = raster_of(geotiff(level), size=64)
    np.testing.assert_allclose(raster.pixels[0][raster.valid], 10**-1.2, rtol=1e-5)
    assert 0.08 < raster.valid.mean() < 0.12
