"""The CFAR detector, compared with its definition by SciPy, and its false alarm rate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.detection.cfar import MAX_TARGETS, cell_averaging_cfar, cell_side, detect_targets
from sarlens.types.cfar_params import CfarParams
from sarlens.types.window import Window

Mask = NDArray[np.bool_]


def raster(power: NDArray[np.float32], valid: Mask | None = None) -> Raster:
    """Return linear power as a raster."""
    planes = power if power.ndim == 3 else power[np.newaxis]
    rows, cols = planes.shape[1:]
    mask = np.ones((rows, cols), bool) if valid is None else valid
    return Raster(planes, mask, ("VV",) * len(planes), Quantity.INTENSITY, Window(0, 0, cols, rows))


def clutter(shape: tuple[int, int], looks: float = 4.0, seed: int = 0) -> NDArray[np.float32]:
    """Return gamma clutter of mean 1."""
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


def detected_by_scipy(power: NDArray[np.float32], valid: Mask, params: CfarParams) -> Mask:
    """Return the detected pixels by the definition: box filters of SciPy, and quantiles of its F distribution."""
    side = cell_side(params)

    def box(plane: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
        """Sums over a window of squares, for the square of each pixel."""
        squares = -(-pixels // side)
        squares += 1 - squares % 2
        rows, cols = (-(-length // side) for length in plane.shape)
        padded = np.pad(plane, ((0, rows * side - plane.shape[0]), (0, cols * side - plane.shape[1])))
        means = ndimage.uniform_filter(padded, side, origin=-(side // 2))[::side, ::side] * side**2
        sums = ndimage.uniform_filter(means, squares, mode="constant") * squares**2
        return np.kron(sums, np.ones((side, side)))[: plane.shape[0], : plane.shape[1]]

    def ring(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        return box(plane, params.training) - box(plane, params.guard)

    small = [
        power[row : row + 8, col : col + 8]
        for row in range(0, valid.shape[0] - 7, 8)
        for col in range(0, valid.shape[1] - 7, 8)
        if valid[row : row + 8, col : col + 8].all()
    ]
    looks = np.median([square.mean() ** 2 / square.var(ddof=1) for square in small])
    censored = np.zeros(valid.shape, bool)
    full = ring(np.ones((800, 800)))[400, 400]
    while True:
        mask = (valid & ~censored).astype(np.float64)
        cells = np.rint(ring(mask))
        mean = ring(power * mask) / np.maximum(cells, 1)
        if censored.any():
            variance = ring(np.square(power, dtype=np.float64) * mask) / np.maximum(cells, 1) - mean**2
            usable = (mean > 1e-6) & (variance > 1e-6)
            looks = np.median((mean**2 / np.where(usable, variance, 1))[usable])
        limit = stats.f.isf(params.pfa, 2 * looks, 2 * np.maximum(cells, 1) * looks) * mean
        found: Mask = valid & (cells >= 0.1 * full) & (power > limit)
        if not (found & ~censored).any():
            return found
        censored |= found


@pytest.mark.parametrize(("guard", "training"), [(5, 11), (41, 73)])
def test_detected_pixels_are_those_of_the_definition(guard: int, training: int) -> None:
    """Windows of 1-pixel and of 4-pixel squares detect what SciPy's box filters and F distribution do."""
    power, valid = clutter((150, 130), looks=2.0), np.ones((150, 130), bool)
    valid[20:60, 30:50] = False
    rng = np.random.default_rng(3)
    for row, col in zip(rng.integers(0, 150, 30), rng.integers(0, 130, 30), strict=True):
        power[row : row + 3, col : col + 4] += 30
    params = CfarParams(pfa=1e-5, guard=guard, training=training)
    found, expected = cell_averaging_cfar(power, valid, params).detected, detected_by_scipy(power, valid, params)
    assert expected.sum() > 150
    assert (found != expected).sum() <= 0.02 * expected.sum()  # looks are rounded down by up to 2 %


@pytest.mark.parametrize("looks", [1.0, 4.4])
def test_the_rate_of_false_alarms_is_that_of_the_request(looks: float) -> None:
    """In four million pixels of homogeneous clutter, the rate is 0.7 to 1.4 times the requested one."""
    power = clutter((2000, 2000), looks)
    found = cell_averaging_cfar(power, np.ones(power.shape, bool), CfarParams(pfa=1e-4))
    assert found.looks == pytest.approx(looks, rel=0.02)
    assert 0.7e-4 < found.detected.mean() < 1.4e-4


def test_a_target_does_not_hide_its_neighbors() -> None:
    """Of ten bright targets in each other's training windows, all are found, at their positions."""
    power = clutter((200, 200))
    centers = [(60 + 30 * row, 40 + 25 * col) for row in range(2) for col in range(5)]
    for row, col in centers:
        power[row - 2 : row + 3, col - 5 : col + 6] = 400
    found = detect_targets(raster(power), CfarParams())
    positions = {(target.row, target.col) for target in found}
    assert {(row + 0.5, col + 0.5) for row, col in centers} == positions


def test_bands_are_added() -> None:
    """A target that is bright in one of two bands is found once."""
    power = np.stack([clutter((120, 120)), clutter((120, 120), seed=1)])
    power[1, 50:56, 60:66] = 100
    (target,) = detect_targets(raster(power), CfarParams())
    assert (target.row, target.col) == (53, 63)


def test_pixels_without_data_are_no_targets_and_no_clutter() -> None:
    """A target next to invalid pixels is found, and invalid pixels never are, whatever they hold."""
    power, valid = clutter((150, 150)), np.ones((150, 150), bool)
    valid[:, :70] = False
    power[:, :70] = 1e6
    power[70:75, 72:78] = 80
    (target,) = detect_targets(raster(power, valid), CfarParams())
    assert (target.row, target.col) == (72.5, 75)
    assert detect_targets(raster(power, np.zeros_like(valid)), CfarParams()) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (73, 73), (74, 5)])
def test_rasters_of_any_shape_are_processed(shape: tuple[int, int]) -> None:
    """Rasters smaller than the windows have no targets, and raise no error."""
    power = np.ones(shape, np.float32)
    found = cell_averaging_cfar(power, np.ones(shape, bool), CfarParams())
    assert found.detected.shape == found.clutter.shape == shape
    assert not found.detected.any()


def test_brightness_has_no_targets() -> None:
    """8-bit images have no power, so nothing is detected in them."""
    picture = Raster(
        np.zeros((1, 9, 9), np.uint8), np.ones((9, 9), bool), ("1",), Quantity.BRIGHTNESS, Window(0, 0, 9, 9)
    )
    assert detect_targets(picture, CfarParams()) == []


def test_the_number_of_targets_is_bounded() -> None:
    """Of 400 targets, the 128 with the highest contrast are returned."""
    power = clutter((1000, 1000))
    for index in range(400):
        row, col = 25 + 48 * (index // 20), 25 + 48 * (index % 20)
        power[row : row + 3, col : col + 3] = 50 + index
    found = detect_targets(raster(power), CfarParams())
    assert len(found) == MAX_TARGETS
    assert min(target.contrast_db for target in found) > 10 * np.log10(50 + 400 - MAX_TARGETS - 30)


def test_the_margin_makes_tiles_agree_with_the_scene() -> None:
    """A tile with ``margin`` pixels around it detects in its own pixels what the detector finds in the whole scene."""
    power = clutter((400, 400))
    power[190:196, 196:206] = 60  # across the edge of the tile at column 200
    params = CfarParams()
    whole = cell_averaging_cfar(power, np.ones(power.shape, bool), params)
    margin = params.margin
    part = power[100 - margin : 300 + margin, 200 - margin :]
    tile = cell_averaging_cfar(part, np.ones(part.shape, bool), params)
    assert (tile.detected[margin : 200 + margin, margin:] == whole.detected[100:300, 200:]).all()
    assert whole.detected[100:300, 200:].sum() == 6 * 6
