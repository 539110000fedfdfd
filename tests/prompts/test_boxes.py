"""Conventions of boxes in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.prompts.boxes import IMAGE_BOXES, MAX_BOXES, BoxConvention, BoxFormat
from sarlens.types.box import Box

CONVENTIONS: tuple[BoxConvention, ...] = ("xywh", "xyxy", "xyxy_1", "xyxy_1000", "internvl", "sarchat")
BOX = Box(56, 28, 112, 84)


@pytest.mark.parametrize(
    ("box_format", "text"),
    [
        (BoxFormat("xywh", "integer"), "[56, 28, 112, 84]"),
        (BoxFormat("xywh", "whole"), "[56.0, 28.0, 112.0, 84.0]"),
        (BoxFormat("xywh", "decimal"), "[56.0, 28.0, 112.0, 84.0]"),
        (BoxFormat("xyxy", "integer"), "[56, 28, 168, 112]"),
        (BoxFormat("xyxy_1"), "[0.125, 0.125, 0.375, 0.500]"),
        (BoxFormat("xyxy_1000"), "[125, 125, 375, 500]"),
        (BoxFormat("internvl"), "<box>[[125, 125, 375, 500]]</box>"),
        (BoxFormat("sarchat"), "{<13><13><38><50>}"),
    ],
)
def test_each_convention_writes_and_reads(box_format: BoxFormat, text: str) -> None:
    """A box of a picture of 448 x 224 pixels; what a convention writes, it reads to half of its unit."""
    assert box_format.write(BOX, 448, 224) == text
    (read,) = box_format.read(f"The ship is at {text}.", 448, 224)
    assert read == pytest.approx(BOX, abs=5 if box_format.convention == "sarchat" else 1e-9)


def test_qwen_counts_pixels_after_its_own_resize() -> None:
    """Qwen2.5-VL resizes 448 x 215 pixels to 448 x 224, multiples of 28, and its boxes are in the latter."""
    qwen = BoxFormat("xyxy", "integer", 28)
    assert qwen.write(Box(56, 0, 112, 215), 448, 215) == "[56, 0, 168, 224]"
    (read,) = qwen.read('[{"bbox_2d": [56, 0, 168, 224], "label": "ship"}]', 448, 215)
    assert read == pytest.approx((56, 0, 112, 215))


@pytest.mark.parametrize(
    ("like", "written"),
    [
        ("[57, 29, 113, 85]", "[28, 15, 57, 42]"),
        ("[57.0, 29.0, 113.0, 85.0]", "[28.0, 15.0, 57.0, 42.0]"),
        ("[57.5, 29, 113, 85]", "[28.2, 14.5, 56.5, 42.5]"),
    ],
)
def test_numbers_stay_as_they_are_written(like: str, written: str) -> None:
    """Whole numbers become whole numbers in the same form, by the nearest edges; decimals have one digit."""
    half = Box(28.25, 14.5, 56.5, 42.5)
    assert BoxFormat().write(half, 448, 224, like) == written


def test_a_box_is_never_empty() -> None:
    """A box that is smaller than a pixel is one pixel, inside the picture."""
    assert BoxFormat(numbers="integer").write(Box(447.8, 0.1, 0.2, 0.2), 448, 224) == "[447, 0, 1, 1]"


@given(
    st.sampled_from(CONVENTIONS),
    st.sampled_from(["integer", "whole", "decimal"]),
    st.tuples(st.floats(0, 400), st.floats(0, 200), st.floats(2, 300), st.floats(2, 200)),
)
def test_writing_and_reading_is_exact_to_a_unit(
    convention: BoxConvention, numbers: str, box: tuple[float, float, float, float]
) -> None:
    """Each edge comes back within a unit of the convention; the same text comes back from what was read."""
    box_format = BoxFormat(convention, numbers)  # type: ignore[arg-type]
    clipped = Box(*box).clip(448, 224)
    assert clipped is not None
    (read,) = box_format.read(box_format.write(clipped, 448, 224), 448, 224)
    unit = {"sarchat": 4.48, "xyxy_1000": 0.448, "internvl": 0.448, "xyxy_1": 0.448}.get(convention, 1)
    for edge, expected in zip((read.x, read.y), (clipped.x, clipped.y), strict=True):
        assert abs(edge - expected) <= unit + 1e-6
    assert abs(read.x + read.width - clipped.x - clipped.width) <= 1.5 * unit + 1e-6


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("no box", []),
        ("[1, 2, 3]", []),
        ("[1,2,3,4]", [(1, 2, 3, 4)]),
        ("[-1, 2.5, 3., 4] and [ 5, 6, 7, 8 ]", [(-1, 2.5, 3, 4), (5, 6, 7, 8)]),
    ],
)
def test_boxes_of_callers(text: str, boxes: list[tuple[float, ...]]) -> None:
    """Four numbers in brackets are a box, with signs, decimals and any spacing."""
    assert list(IMAGE_BOXES.read(text, 1, 1)) == boxes


def test_exchanged_corners_are_no_box() -> None:
    """A list whose right edge is left of its left edge isn't a box, and stays as it is."""
    corners = BoxFormat("xyxy")
    assert list(corners.read("[168, 28, 56, 112]", 448, 224)) == []
    assert corners.replace("[168, 28, 56, 112]", lambda _, text: "!" + text, 448, 224) == "[168, 28, 56, 112]"


def test_a_text_has_at_most_100_boxes() -> None:
    """Boxes after the 100th are not read."""
    text = " ".join(f"[{number}, 0, 1, 1]" for number in range(MAX_BOXES + 1))
    assert [box.x for box in IMAGE_BOXES.read(text, 1, 1)] == list(range(MAX_BOXES))
