"""Boxes of questions and answers, between an image and its picture."""

from __future__ import annotations

import pytest

from sarlens.errors import BadRequest
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.turn import Turn
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.sar_tasks import vqa_task
from sarlens.prompts.boxes import BoxFormat
from sarlens.types.window import Window

HALF = PictureBoxes(PictureFrame(Window(100, 200, 512, 512), 256, 256), BoxFormat())


def test_a_question_has_the_boxes_of_the_picture() -> None:
    """The window is subtracted, and the rest is divided by two; the caller's question stays."""
    task = vqa_task("What is the object in the region [110, 220, 20, 10]?", None)
    moved = task.for_picture(HALF)
    assert "[5, 10, 10, 5]" in moved.prompt
    assert moved.question == task.question
    plain = vqa_task("How many ships are in the image?", None)
    assert plain.for_picture(HALF) is plain


def test_boxes_are_clipped_to_the_window() -> None:
    """A box across the edge has its part inside; every box of the text is converted."""
    assert HALF.to_picture_text("[0, 0, 110, 220] [600, 700, 90, 90]", "questions") == "[0, 0, 5, 10] [250, 250, 6, 6]"


@pytest.mark.parametrize("box", ["[0, 0, 100, 100]", "[612, 300, 5, 5]", "[300, 712, 5, 5]", "[300, 300, 0, 5]"])
def test_a_box_outside_the_window_is_rejected(box: str) -> None:
    """The message has the box and the window, and names the field."""
    with pytest.raises(BadRequest, match=r"is outside the window \[100, 200, 512, 512\]") as raised:
        HALF.to_picture_text(f"What is in {box}?", "questions")
    assert raised.value.param == "questions"
    assert box in raised.value.message


def test_an_answer_has_the_boxes_of_the_image() -> None:
    """Whole numbers stay whole in a text; the list of boxes is clipped to the window."""
    assert HALF.to_image_text("ship [5, 10, 10, 5]") == "ship [110, 220, 20, 10]"
    assert HALF.to_image_text("ship [5.5, 10, 10, 5]") == "ship [111.0, 220.0, 20.0, 10.0]"
    assert HALF.in_image("[5, 10, 10, 5] [250, 0, 50, 5] [300, 0, 5, 5]") == [(110, 220, 20, 10), (600, 200, 12, 10)]


def test_models_have_their_own_convention() -> None:
    """A model of thousandths, whose picture is upside down, reads and writes them, and the caller never sees them."""
    frame = PictureFrame(Window(0, 0, 1000, 500), 500, 250, Turn(flips_rows=True))
    boxes = PictureBoxes(frame, BoxFormat("xyxy_1000"))
    assert boxes.to_picture_text("[100, 50, 200, 100]", "questions") == "[100, 700, 300, 900]"
    assert boxes.to_image_text('{"bbox_2d": [100, 700, 300, 900]}') == '{"bbox_2d": [100, 50, 200, 100]}'
