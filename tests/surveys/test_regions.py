"""Regions in questions, and boxes of answers on the map."""

from __future__ import annotations

import pytest

from sarlens.imagery.geo.georeference import Georeference
from sarlens.surveys.regions import first_box, to_geometries
from sarlens.types.box import Box
from sarlens.types.window import Window
from support.georeferenced_scenes import AFFINE, UTM

GEOREFERENCE = Georeference(1000, 700, UTM, AFFINE)
TILE = Window(100, 200, 50, 40)


def test_the_first_region_of_a_question() -> None:
    """Four numbers in brackets are a region; the first one counts."""
    assert first_box("What is in [1, 2.5, 3., 4] beside [ 5, 6, 7, 8 ]?") == (1, 2.5, 3, 4)
    assert first_box("How many ships are there?") is None


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((110, 220, 5, 6), (110, 220, 5, 6)),
        ((110.2, 220.9, 1.5, 1), (110, 220, 2, 2)),
        ((95, 195, 10, 10), (100, 200, 5, 5)),
        ((145, 230, 100, 100), (145, 230, 5, 10)),
        ((150, 200, 1, 1), None),
        ((100, 240, 1, 1), None),
        ((95, 200, 5, 5), None),
    ],
)
def test_a_box_becomes_a_geometry(
    box: tuple[float, float, float, float], window: tuple[int, int, int, int] | None
) -> None:
    """A box covers the whole pixels that it touches, clipped to the tile; outside it has no geometry."""
    expected = [] if window is None else [GEOREFERENCE.footprint(Window(*window))]
    assert to_geometries([Box(*box)], TILE, GEOREFERENCE) == expected
    assert to_geometries([Box(*box)], TILE, None) == []
