"""Boxes of questions and answers: from pixels of the image to those of the picture that a model sees, and back."""

from __future__ import annotations

from typing import NamedTuple

from sarlens.errors import BadRequest
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.prompts.boxes import IMAGE_BOXES, BoxFormat
from sarlens.types.box import Box


class PictureBoxes(NamedTuple):
    """The boxes of one picture. Those of the image are ``[x, y, width, height]`` in pixels of the full resolution."""

    frame: PictureFrame
    """Place of the picture in the image."""
    box_format: BoxFormat
    """How the model writes boxes."""

    def to_picture_text(self, text: str, param: str) -> str:
        """Return a text for the model: its boxes are those of the picture, clipped to it.

        Raises:
            BadRequest: a box is outside the window that the picture shows; the error names the field ``param``.
        """
        width, height = self.frame.width, self.frame.height

        def write(box: Box, written: str) -> str:
            clipped = self.frame.to_picture(box).clip(width, height)
            if clipped is None:
                raise BadRequest(
                    f"The region {written} is outside the window {list(self.frame.window)} that the model sees. Both "
                    "are [x, y, width, height] in pixels of the image.",
                    param=param,
                )
            return self.box_format.write(clipped, width, height, written)

        return IMAGE_BOXES.replace(text, write, 1, 1)

    def to_image_text(self, text: str) -> str:
        """Return a text of the model with its boxes as those of the image."""
        window = self.frame.window
        extent = window.col + window.width, window.row + window.height

        def write(box: Box, written: str) -> str:
            return IMAGE_BOXES.write(self.frame.to_image(box), *extent, written)

        return self.box_format.replace(text, write, self.frame.width, self.frame.height)

    def in_image(self, text: str) -> list[Box]:
        """Return the boxes in a text of the model as those of the image, clipped to the window that it sees."""
        width, height = self.frame.width, self.frame.height
        clipped = (box.clip(width, height) for box in self.box_format.read(text, width, height))
        return [self.frame.to_image(box) for box in clipped if box is not None]
