"""The seven applications that SARLANG-1M groups its texts by, and the words that they share."""

from __future__ import annotations

from enum import StrEnum


class Application(StrEnum):
    """One of the seven applications; the value is how files name it, ``heading`` how the paper tabulates it."""

    IMAGE_DESCRIPTION = "image_description"
    OBJECT_IDENTIFICATION = "object_identification"
    OBJECT_CLASSIFICATION = "object_classification"
    INSTANCE_COUNTING = "instance_counting"
    REGION_REFERRING = "region_referring"
    OBJECT_POSITIONING = "object_positioning"
    OTHERS = "others"

    @property
    def heading(self) -> str:
        """The name in the paper's tables, such as ``Instance Counting``."""
        return self.value.replace("_", " ").title()


CATEGORIES = ("tank", "car", "aircraft", "harbor", "bridge", "ship")
"""SARDet-100K's object classes, in the order in which SARLANG's prompt lists them; a tank is a storage tank."""

POSITIONS = ("top", "center", "bottom", "left", "right")
"""The answers of Object Positioning, in the order in which SARLANG's prompt lists them."""

CATEGORIES_PREFIX = f"The classes are: {', '.join(CATEGORIES)}."
"""What goes before a question that one of ``CATEGORIES`` answers when subsets are mixed."""

POSITIONS_PREFIX = f"The classes are: {', '.join(POSITIONS)}."
"""What goes before a question that one of ``POSITIONS`` answers when subsets are mixed."""

CAPTION_PROMPT = "Describe the content of this image in one sentence."
"""The paper's prompt for Image Description."""

DETAIL_PROMPT = "Describe the content of this image in detail."
"""Asks for the complex caption. It is ours: the paper asks for both kinds with its one prompt."""

QUESTION_PROMPT = "Question: {question}. Answer the question concisely."
"""The paper's prompt for a visual question, its full stop after the question mark included."""
