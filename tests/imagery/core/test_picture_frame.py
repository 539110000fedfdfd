"""Boxes of an image and of its pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.turn import Turn
from sarlens.types.box import Box
from sarlens.types.window import Window

TURNS = st.builds(Turn, st.booleans(), st.booleans(), st.booleans())
WINDOWS = st.builds(Window, st.integers(0, 30_000), st.integers(0, 30_000), st.integers(1, 5000), st.integers(1, 5000))


@st.composite
def frames(draw: st.DrawFn) -> PictureFrame:
    """Frames of any window, picture size and turn."""
    return PictureFrame(draw(WINDOWS), draw(st.integers(1, 4096)), draw(st.integers(1, 4096)), draw(TURNS))


@given(frames(), st.tuples(*[st.floats(-100, 40_000)] * 2), st.tuples(*[st.floats(0.5, 5000)] * 2))
def test_a_box_comes_back(frame: PictureFrame, corner: tuple[float, float], size: tuple[float, float]) -> None:
    """A box of the image that is moved to the picture and back is the same box, for every window, scale and turn."""
    box = Box(*corner, *size)
    assert frame.to_image(frame.to_picture(box)) == pytest.approx(box, rel=1e-6, abs=1e-4)


@given(frames())
def test_the_window_is_the_picture(frame: PictureFrame) -> None:
    """The whole window is the whole picture, so that a box inside one is inside the other."""
    assert frame.to_picture(Box(*frame.window)) == pytest.approx((0, 0, frame.width, frame.height), abs=1e-6)


@given(
    TURNS,
    st.integers(1, 4),
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)),
)
def test_a_box_follows_its_pixels(turn: Turn, factor: int, box: tuple[int, int, int, int]) -> None:
    """The box of the picture marks the pixels that the box of the image marks, after offset, reduction and turn."""
    window, (x, y, width, height) = Window(7, 11, 8 * factor, 6 * factor), (part * factor for part in box)
    marked = np.zeros((6 * factor, 8 * factor), dtype=np.uint8)
    marked[y : y + height, x : x + width] = 1
    picture = turn.apply(marked[::factor, ::factor])
    frame = PictureFrame(window, picture.shape[1], picture.shape[0], turn)
    left, top, across, down = map(round, frame.to_picture(Box(7 + x, 11 + y, width, height)))
    expected = np.zeros_like(picture)
    expected[top : top + down, left : left + across] = 1
    assert np.array_equal(picture, expected)


def test_a_box_is_clipped() -> None:
    """The part inside remains; a box that shares no area is None."""
    assert Box(-5, 2, 10, 100).clip(20, 30) == (0, 2, 5, 28)
    assert Box(20, 0, 5, 5).clip(20, 30) is None
    assert Box(3, 3, 0, 5).clip(20, 30) is None
