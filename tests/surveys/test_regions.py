"""Regions in questions and answers."""

from __future__ import annotations

import pytest

from sarlens.imagery.geo.georeference import Georeference
from sarlens.inference.sar_tasks import vqa_task
from sarlens.surveys.regions import ScaleFactor, first_box, parse_boxes, to_geometries, to_tile_coordinates
from sarlens.types.window import Window
from support.georeferenced_scenes import AFFINE, UTM

GEOREFERENCE = Georeference(1000, 700, UTM, AFFINE)
TILE = Window(100, 200, 50, 40)


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("no region", []),
        ("[1, 2, 3]", []),
        ("[1,2,3,4]", [(1, 2, 3, 4)]),
        ("[-1, 2.5, 3., 4] and [ 5, 6, 7, 8 ]", [(-1, 2.5, 3, 4), (5, 6, 7, 8)]),
    ],
)
def test_regions_are_parsed(text: str, boxes: list[tuple[float, ...]]) -> None:
    """Four numbers in brackets are a region, with signs, decimals and any spacing."""
    assert parse_boxes(text) == boxes
    assert first_box(text) == (boxes[0] if boxes else None)


def test_a_text_has_at_most_100_regions() -> None:
    """Regions after the 100th are ignored."""
    text = " ".join(f"[{number}, 0, 1, 1]" for number in range(101))
    assert [box[0] for box in parse_boxes(text)] == list(range(100))


def test_a_region_moves_to_tile_pixels() -> None:
    """Offset and scale of columns and rows differ; every region of the prompt moves, and the question stays."""
    task = vqa_task("What is the object in the region [110, 220, 20, 10]?", None)
    moved = to_tile_coordinates(task, TILE, ScaleFactor(0.5, 2.0))
    assert "[5.0, 40.0, 10.0, 20.0]" in moved.prompt
    assert "[110" not in moved.prompt
    assert moved.question == task.question
    plain = vqa_task("How many ships are in the image?", None)
    assert to_tile_coordinates(plain, TILE, ScaleFactor(0.5, 2.0)) is plain


@pytest.mark.parametrize(
    ("text", "scale", "window"),
    [
        ("[10, 20, 5, 6]", (1.0, 1.0), (110, 220, 5, 6)),
        ("[10, 20, 5, 6]", (0.5, 2.0), (120, 210, 10, 3)),
        ("[10.2, 20.9, 1.5, 1]", (1.0, 1.0), (110, 220, 2, 2)),
        ("[-5, -5, 10, 10]", (1.0, 1.0), (100, 200, 5, 5)),
        ("[45, 30, 100, 100]", (1.0, 1.0), (145, 230, 5, 10)),
        ("[50, 0, 1, 1]", (1.0, 1.0), None),
        ("[0, 40, 1, 1]", (1.0, 1.0), None),
        ("[-5, 0, 5, 5]", (1.0, 1.0), None),
        ("[1, 1, 0, 5]", (1.0, 1.0), None),
    ],
)
def test_a_region_of_an_answer_becomes_a_geometry(
    text: str, scale: tuple[float, float], window: tuple[int, int, int, int] | None
) -> None:
    """A region covers the whole pixels that it touches, clipped to the tile; outside it has no geometry."""
    expected = [] if window is None else [GEOREFERENCE.footprint(Window(*window))]
    assert to_geometries(text, TILE, ScaleFactor(*scale), GEOREFERENCE) == expected
    assert to_geometries(text, TILE, ScaleFactor(*scale), None) == []
