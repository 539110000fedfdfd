"""Cell-averaging CFAR: a detector of bright targets with a constant false alarm rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane, box_sums
from sarlens.imagery.core.radiometry import block_sums
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.detection.targets import Target, group_targets
from sarlens.imagery.detection.threshold import equivalent_looks, threshold_factors
from sarlens.types.cfar_params import CfarParams
from sarlens.types.window import Looks

MAX_TARGETS = 128
"""Largest number of targets of one raster."""
_MAX_PASSES = 8
_SMALL_SIDE = 8
_MIN_SHARE = 0.1
"""Smallest share of the training pixels that must be valid clutter; with less, a pixel isn't tested."""


class Detection(NamedTuple):
    """Result of the detector for one band."""

    detected: NDArray[np.bool_]
    """Whether a pixel exceeds its threshold, of shape (row, col)."""
    clutter: Plane
    """Mean power of the training cells of each pixel; 0 without any."""
    looks: float
    """Equivalent number of looks of the clutter."""


def detect_targets(raster: Raster, params: CfarParams) -> list[Target]:
    """Return the targets of a raster in pixels of the raster, those of the highest contrast first.

    Bands are added, because a target is bright in each of them.

    Args:
        raster: INTENSITY, as ``detect`` returns it.
        params: windows, false alarm probability and smallest target.
    """
    if raster.quantity is not Quantity.INTENSITY or not raster.valid.any():
        return []
    power = raster.pixels[0] if len(raster.pixels) == 1 else raster.pixels.sum(axis=0, dtype=np.float32)
    found = cell_averaging_cfar(power, raster.valid, params)
    return group_targets(found.detected, power, found.clutter, params.min_pixels, MAX_TARGETS)


def cell_averaging_cfar(power: Plane, valid: NDArray[np.bool_], params: CfarParams) -> Detection:
    """Compare each pixel with the mean of the pixels between its guard window and its training window.

    The threshold is ``threshold_factor`` times this mean. Pixels above it leave the training pixels, and the comparison
    is repeated until no more pixel leaves, up to eight times. A target therefore doesn't hide its neighbor (iterative
    censoring: Barboy, Lomes and Perkalski, IEE Proceedings F 133, 1986). The first comparison takes the looks from
    small squares, most of which have no target; the others take them from the training windows.

    The pixels of a square of ``cell_side`` share their windows, which consist of an odd number of such squares.
    """
    blocks = _Blocks.of(power.shape, params)
    censored = np.zeros(valid.shape, dtype=bool)
    looks: float | None = _looks_of_small_squares(power, valid)
    for _ in range(_MAX_PASSES):
        clutter_mask = valid & ~censored
        clutter = np.where(clutter_mask, power, np.float32(0))
        pixels = blocks.training_sums(clutter_mask.astype(np.float32))
        per_pixel = np.reciprocal(np.maximum(pixels, np.float32(1)))
        mean = blocks.training_sums(clutter) * per_pixel
        if looks is None:
            looks = equivalent_looks(mean, blocks.training_sums(np.square(clutter)) * per_pixel)
        factors = threshold_factors(params.pfa, pixels, looks, _MIN_SHARE * blocks.most_pixels, blocks.most_pixels)
        limit = np.multiply(factors, mean, out=np.full_like(mean, np.inf), where=mean > 0)
        detected = valid & (power > blocks.spread(limit))
        found = Detection(detected, blocks.spread(mean), looks)
        if not (detected & ~censored).any():
            break
        censored |= detected
        looks = None
    return found


def _looks_of_small_squares(power: Plane, valid: NDArray[np.bool_]) -> float:
    """Equivalent number of looks, as the median over squares of 8 x 8 valid pixels, with the variance of a sample."""
    side = Looks(_SMALL_SIDE, _SMALL_SIDE)
    pixels = _SMALL_SIDE**2
    whole = block_sums(valid[np.newaxis], side)[0] == pixels
    clutter = np.where(valid, power, np.float32(0))[np.newaxis]
    mean, mean_square = (block_sums(plane, side)[0][whole] / pixels for plane in (clutter, np.square(clutter)))
    return equivalent_looks(mean, np.square(mean) + (mean_square - np.square(mean)) * (pixels / (pixels - 1)))


class _Blocks(NamedTuple):
    """Squares of ``side`` pixels that cover a plane, and the windows around each of them, in squares."""

    rows: int
    cols: int
    side: int
    guard: int
    training: int

    @classmethod
    def of(cls, shape: tuple[int, ...], params: CfarParams) -> _Blocks:
        side = cell_side(params)
        return cls(shape[0], shape[1], side, _odd_blocks(params.guard, side), _odd_blocks(params.training, side))

    @property
    def most_pixels(self) -> int:
        """Number of training pixels of a square whose training window is inside the plane and valid."""
        return self.side**2 * (self.training**2 - self.guard**2)

    def training_sums(self, plane: Plane) -> Plane:
        """Sums over the training pixels of each square; the plane is 0 outside."""
        sums = block_sums(plane[np.newaxis], Looks(self.side, self.side))[0]
        padded = np.pad(sums, self.training // 2)
        rim = (self.training - self.guard) // 2
        return box_sums(padded, self.training) - box_sums(padded[rim:-rim, rim:-rim], self.guard)

    def spread(self, blocks: Plane) -> Plane:
        """The value of its square for each pixel."""
        return blocks.repeat(self.side, axis=0)[: self.rows].repeat(self.side, axis=1)[:, : self.cols]


def cell_side(params: CfarParams) -> int:
    """Return the side of the squares in pixels: an eighth of the guard window, from 1 to 4."""
    return max(1, min(4, params.guard // 8))


def _odd_blocks(pixels: int, side: int) -> int:
    blocks = -(-pixels // side)
    return blocks + 1 - blocks % 2
