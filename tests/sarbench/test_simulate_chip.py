"""Simulated chips and their boxes."""

from __future__ import annotations

import numpy as np
import pytest

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.layouts import LAYOUT_VARIANTS


def test_chips_depend_only_on_seed_index_and_split() -> None:
    """Equal seed, index, and split give equal pixels and ground truth; changing any of them gives another chip."""
    first = simulate_chip(1, 2, 128)
    again = simulate_chip(1, 2, 128)
    assert np.array_equal(first.sigma0(), again.sigma0())
    assert first.truth == again.truth
    for other in (simulate_chip(2, 2, 128), simulate_chip(1, 3, 128), simulate_chip(1, 2, 128, "test")):
        assert not np.array_equal(first.sigma0(), other.sigma0())


def test_splits_share_no_layout() -> None:
    """Train and test layouts are disjoint."""
    assert not set(LAYOUT_VARIANTS["train"]) & set(LAYOUT_VARIANTS["test"])


def test_a_chip_has_the_same_objects_at_every_size() -> None:
    """Doubling the number of pixels doubles the boxes and changes nothing else."""
    for index in range(40):
        small, large = simulate_chip(5, index, 128).truth, simulate_chip(5, index, 256).truth
        assert small.counts == large.counts
        for one, two in zip(small.objects, large.objects, strict=True):
            assert np.subtract(two.box, np.multiply(one.box, 2)) == pytest.approx(np.zeros(4), abs=4.0)


def test_objects_are_complete_visible_and_separate() -> None:
    """Every box is inside the image, at least 10 by 3 pixels, and overlaps others by at most 10 %."""
    for index in range(300):
        truth = simulate_chip(6, index).truth
        for number, labeled in enumerate(truth.objects):
            box = labeled.box
            assert min(box.x, box.y) >= 0
            assert max(box.x + box.width, box.y + box.height) <= 256
            assert max(box.width, box.height) >= 10
            assert min(box.width, box.height) >= 3
            assert all(
                box.intersection_area(other.box) <= 0.1 * box.width * box.height for other in truth.objects[:number]
            )


def test_targets_are_brighter_than_their_surroundings() -> None:
    """The 90th percentile of every box is five times the median outside of all boxes."""
    for index in range(60):
        chip = simulate_chip(7, index)
        image, outside = chip.sigma0(), np.ones((256, 256), bool)
        insides = []
        for _, (x, y, width, height) in chip.truth.objects:
            part = (slice(int(y), int(y + height)), slice(int(x), int(x + width)))
            outside[part] = False
            insides.append(np.percentile(image[part], 90))
        if insides:
            assert np.min(insides) > 5 * np.median(image[outside])
