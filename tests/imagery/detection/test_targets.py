"""Targets: groups of detected pixels, their positions and boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from sarlens.imagery.detection.targets import Target, connected_groups, group_targets


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 0.4), st.integers(0, 1000))
@settings(deadline=None, max_examples=200)
def test_groups_are_the_components_of_near_pixels(rows: int, cols: int, share: float, seed: int) -> None:
    """Groups equal SciPy's connected components of pixels that are at most 2 apart along both axes."""
    mask = np.random.default_rng(seed).random((rows, cols)) < share
    points = np.argwhere(mask)
    groups = connected_groups(points[:, 0], points[:, 1], mask.shape)
    pairs = cKDTree(points).query_pairs(2, p=np.inf, output_type="ndarray") if len(points) else np.empty((0, 2), int)
    graph = coo_array((np.ones(len(pairs)), pairs.T.reshape(2, -1)), shape=(len(points), len(points)))
    count, labels = connected_components(graph, directed=False) if len(points) else (0, np.empty(0))
    assert len(np.unique(groups)) == count
    assert len(set(zip(groups.tolist(), labels.tolist(), strict=True))) == count


def ship(angle_deg: float, length: float = 30, beam: float = 5) -> NDArray[np.float32]:
    """Return a hull at (50, 50) of power 100 in clutter of power 1, with a bright stern and a weak wake."""
    rows, cols = np.mgrid[0:100, 0:100] + 0.5
    angle = np.radians(angle_deg)
    ahead = (cols - 50) * np.cos(angle) + (rows - 50) * np.sin(angle)
    abeam = (rows - 50) * np.cos(angle) - (cols - 50) * np.sin(angle)
    power = np.ones((100, 100), np.float32)
    power[(ahead < -length / 2) & (ahead > -length) & (np.abs(abeam) < beam)] = 8
    hull = (np.abs(ahead) <= length / 2) & (np.abs(abeam) <= beam / 2)
    power[hull] = 100
    power[hull & (ahead < -length / 3)] = 2000
    return power


@pytest.mark.parametrize("angle_deg", [0, 30, 45, 90, 200])
def test_the_center_is_that_of_the_hull(angle_deg: float) -> None:
    """A stern 13 dB brighter than the hull and a wake move the center by less than a pixel."""
    power = ship(angle_deg)
    (target,) = group_targets(power > 5, power, np.ones_like(power), 3, 9)
    assert np.hypot(target.row - 50, target.col - 50) < 1
    assert target.contrast_db == pytest.approx(10 * np.log10(2000))


def test_a_strong_pixel_of_a_wake_does_not_move_the_center() -> None:
    """A pixel as bright as the hull, which weaker pixels of the wake connect with it, is left out."""
    power = ship(0)
    power[50, 20:34] = 8
    power[50, 22] = 500
    (target,) = group_targets(power > 5, power, np.ones_like(power), 3, 9)
    assert np.hypot(target.row - 50, target.col - 50) < 1


def test_the_box_has_the_edges_of_the_pixels() -> None:
    """A target of 3 x 4 pixels has a box of 3 x 4 pixels, and its center is the center of the box."""
    power = np.ones((20, 20), np.float32)
    power[5:8, 10:14] = 50
    (target,) = group_targets(power > 10, power, np.ones_like(power), 3, 9)
    assert target[:6] == (12, 6.5, 10, 5, 14, 8)
    assert target.contrast_db == pytest.approx(10 * np.log10(50))


def test_small_groups_are_left_out_and_the_strongest_come_first() -> None:
    """Of groups with 2, 3 and 4 pixels, those with at least 3 are returned, by contrast."""
    power = np.ones((30, 30), np.float32)
    power[2, 2:4], power[10, 2:5], power[20, 2:6] = 900, 30, 60
    found = group_targets(power > 10, power, np.ones_like(power), 3, 9)
    assert [round(target.row) for target in found] == [20, 10]
    assert group_targets(power > 10, power, np.ones_like(power), 3, 1) == found[:1]


def test_a_target_moves_to_other_pixels() -> None:
    """A target of a raster at half the resolution, whose window starts at (100, 40), in pixels of the image."""
    target = Target(5, 6, 4, 5, 6, 7, 12)
    assert target.shifted(100, 40, 2, 2) == Target(110, 52, 108, 50, 112, 54, 12)
