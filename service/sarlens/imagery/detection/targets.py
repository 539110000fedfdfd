"""Targets: groups of detected pixels, with position, box and contrast."""

from __future__ import annotations

from itertools import product
from math import log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane

_LINK_PX = 2
"""Detected pixels at most this far apart along both axes belong to one target."""
_NEIGHBORS = [
    (down, across)
    for down, across in product(range(_LINK_PX + 1), range(-_LINK_PX, _LINK_PX + 1))
    if (down, across) > (0, 0)
]


class Target(NamedTuple):
    """A bright target. Positions are in pixels; the upper left corner of the first pixel is (0, 0)."""

    col: float
    """Column of the center."""
    row: float
    """Row of the center."""
    left: float
    top: float
    right: float
    bottom: float
    contrast_db: float
    """Power of the brightest pixel over the mean of the clutter around it, in dB."""
    is_cut: bool = False
    """Whether the target touches an edge inside the image, beyond which it can continue."""

    def shifted(self, cols: float, rows: float, scale_cols: float = 1.0, scale_rows: float = 1.0) -> Target:
        """Return the target in other pixels: scaled, then shifted."""
        return Target(
            cols + scale_cols * self.col,
            rows + scale_rows * self.row,
            cols + scale_cols * self.left,
            rows + scale_rows * self.top,
            cols + scale_cols * self.right,
            rows + scale_rows * self.bottom,
            self.contrast_db,
            self.is_cut,
        )


def group_targets(
    detected: NDArray[np.bool_], power: Plane, clutter: Plane, min_pixels: int, max_targets: int
) -> list[Target]:
    """Group detected pixels, and return the groups of at least ``min_pixels``, those of the highest contrast first.

    Args:
        detected: mask of shape (row, col).
        power: linear power of each pixel.
        clutter: mean power of the clutter around each pixel.
        min_pixels: smallest number of detected pixels of a target.
        max_targets: largest number of targets to return.
    """
    rows, cols = np.nonzero(detected)
    if not rows.size:
        return []
    groups = connected_groups(rows, cols, detected.shape)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    peaks = np.maximum.reduceat(power[rows, cols][order], starts)
    counts = np.diff(np.append(starts, rows.size))
    strongest = np.argsort(-peaks, kind="stable")
    members = np.split(order, starts[1:])
    kept = [members[group] for group in strongest if counts[group] >= min_pixels][:max_targets]
    targets = [_measure(rows[group], cols[group], power, clutter) for group in kept]
    return sorted(targets, key=lambda target: -target.contrast_db)


def connected_groups(rows: NDArray[np.intp], cols: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the index of a group for each pixel. Pixels at most 2 apart along both axes share a group.

    Each pixel takes the lowest index among its neighbors, and then that of the pixel with this index, until no index
    changes.
    """
    index = np.full((shape[0] + _LINK_PX, shape[1] + 2 * _LINK_PX), -1, np.intp)
    index[rows, cols + _LINK_PX] = np.arange(rows.size)
    pairs = []
    for down, across in _NEIGHBORS:
        other = index[rows + down, cols + _LINK_PX + across]
        first = np.flatnonzero(other >= 0)
        pairs.append(np.stack([first, other[first]]))
    first, second = np.concatenate(pairs, axis=1)
    groups = np.arange(rows.size)
    while True:
        lowest = np.minimum(groups[first], groups[second])
        merged = groups.copy()
        np.minimum.at(merged, groups[first], lowest)
        np.minimum.at(merged, groups[second], lowest)
        while not np.array_equal(merged, merged[merged]):
            merged = merged[merged]
        merged = merged[groups]
        if np.array_equal(merged, groups):
            return groups
        groups = merged


def _measure(rows: NDArray[np.intp], cols: NDArray[np.intp], power: Plane, clutter: Plane) -> Target:
    """Measure one group from its pixels above the geometric mean of its peak and its clutter.

    Weaker pixels, and strong ones apart from the largest part, can belong to sidelobes and wakes. The center is that of
    the smallest rectangle along the principal axes of the pixels, so that a bright bridge at the stern doesn't move it.
    """
    values = power[rows, cols]
    peak = int(np.argmax(values))
    mean = max(float(clutter[rows[peak], cols[peak]]), 1e-30)
    solid = _largest_part(rows, cols, values >= (float(values[peak]) * mean) ** 0.5)
    points = np.stack([cols[solid] + 0.5, rows[solid] + 0.5])
    middle = points.mean(axis=1)
    axes = np.linalg.eigh(np.cov(points, ddof=0))[1] if points.shape[1] > 1 else np.eye(2)
    along = axes.T @ (points - middle[:, None])
    col, row = middle + axes @ ((along.min(axis=1) + along.max(axis=1)) / 2)
    (left, top), (right, bottom) = points.min(axis=1) - 0.5, points.max(axis=1) + 0.5
    contrast_db = 10 * log10(max(float(values[peak]) / mean, 1e-30))
    return Target(float(col), float(row), float(left), float(top), float(right), float(bottom), contrast_db)


def _largest_part(rows: NDArray[np.intp], cols: NDArray[np.intp], chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indexes of the largest connected part of the chosen pixels."""
    indexes = np.flatnonzero(chosen)
    near_rows, near_cols = rows[indexes] - rows.min(), cols[indexes] - cols.min()
    shape = (int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    parts = connected_groups(near_rows, near_cols, shape)
    return np.asarray(indexes[parts == np.bincount(parts).argmax()])
