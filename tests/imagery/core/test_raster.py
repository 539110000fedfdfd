"""Windows of an image, and planes of a raster."""

from __future__ import annotations

import numpy as np
import pytest

from sarlens.errors import WindowOutOfBounds
from sarlens.imagery.core.raster import resolve_window, stack_planes
from sarlens.types.window import Window


def test_no_window_is_the_whole_image() -> None:
    """None is all pixels, and a window that is exactly the image is allowed."""
    assert resolve_window(40, 30, None) == resolve_window(40, 30, (0, 0, 40, 30)) == Window(0, 0, 40, 30)
    assert resolve_window(40, 30, (39, 29, 1, 1)) == Window(39, 29, 1, 1)


@pytest.mark.parametrize("window", [(0, 0, 0, 1), (0, 0, 1, 0), (5, 5, -1, 1)])
def test_an_empty_window_is_rejected(window: tuple[int, int, int, int]) -> None:
    """Width and height must be at least 1."""
    with pytest.raises(WindowOutOfBounds) as rejected:
        resolve_window(40, 30, window)
    assert rejected.value.message == f"The window {list(window)} is empty: width and height must be at least 1."
    assert rejected.value.param == "sar.window"


@pytest.mark.parametrize("window", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 41, 30), (0, 0, 40, 31), (40, 0, 1, 1)])
def test_a_window_outside_the_image_is_rejected(window: tuple[int, int, int, int]) -> None:
    """One pixel beyond any edge rejects the window, with the size of the image."""
    with pytest.raises(WindowOutOfBounds) as rejected:
        resolve_window(40, 30, window)
    message = f"The window {list(window)} is outside the image, which is 40 pixels wide and 30 high."
    assert (rejected.value.message, rejected.value.param) == (message, "sar.window")


def test_planes_are_stacked_as_bands() -> None:
    """Planes become bands in their order; a single plane shares its memory."""
    first, second = np.arange(6).reshape(2, 3), np.arange(6, 12).reshape(2, 3)
    np.testing.assert_array_equal(stack_planes([first, second]), [first, second])
    assert stack_planes([first]).shape == (1, 2, 3)
    assert np.shares_memory(stack_planes([first]), first)
