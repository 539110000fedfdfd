"""Coastal scenes of any size."""

from __future__ import annotations

import numpy as np

from sarbench.simulate.chip import labeled_boxes
from sarbench.simulate.layouts.coastal_region import coastal_scene
from sarlens.types.window import Window


def test_overlapping_windows_are_identical() -> None:
    """Two overlapping windows inside a scene of 20,000 by 20,000 pixels agree bit for bit."""
    coast = coastal_scene(4, 20_000, 20_000, 10.0)
    first = coast.intensity(Window(7_900, 9_000, 300, 300))
    second = coast.intensity(Window(8_000, 9_100, 300, 300))
    assert np.array_equal(first[100:, 100:], second[:200, :200])


def test_targets_depend_on_the_pixel_spacing() -> None:
    """At 10 m, there are ships, harbors, and bridges; at 2 m, also tanks and aircraft."""
    coarse = {labeled.category for labeled in labeled_boxes(coastal_scene(1, 5120, 5120, 10.0))}
    fine = {labeled.category for labeled in labeled_boxes(coastal_scene(1, 5120, 5120, 2.0))}
    assert coarse == {"ship", "harbor", "bridge"}
    assert fine == coarse | {"tank", "aircraft"}
