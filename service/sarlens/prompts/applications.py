"""The seven applications of SARLANG-1M, its classes and its prompts."""

from __future__ import annotations

from enum import StrEnum


class Application(StrEnum):
    """One of the seven applications; the value is its name in files, ``heading`` its name in the paper."""

    IMAGE_DESCRIPTION = "image_description"
    OBJECT_IDENTIFICATION = "object_identification"
    OBJECT_CLASSIFICATION = "object_classification"
    INSTANCE_COUNTING = "instance_counting"
    REGION_REFERRING = "region_referring"
    OBJECT_POSITIONING = "object_positioning"
    OTHERS = "others"

    @property
    def heading(self) -> str:
        """Name in the paper's tables, such as ``Instance Counting``."""
        return self.value.replace("_", " ").title()


CATEGORIES = ("tank", "car", "aircraft", "harbor", "bridge", "ship")
"""Object classes of SARDet-100K, in the order of SARLANG's prompt; a tank is a storage tank."""

POSITIONS = ("top", "center", "bottom", "left", "right")
"""Answers of Object Positioning, in the order of SARLANG's prompt."""

CATEGORIES_PREFIX = f"The classes are: {', '.join(CATEGORIES)}."
"""Prefix of a question whose answer is one of ``CATEGORIES``, if subsets are mixed."""

POSITIONS_PREFIX = f"The classes are: {', '.join(POSITIONS)}."
"""Prefix of a question whose answer is one of ``POSITIONS``, if subsets are mixed."""

CAPTION_PROMPT = "Describe the content of this image in one sentence."
"""The paper's prompt for Image Description."""

DETAIL_PROMPT = "Describe the content of this image in detail."
"""Prompt for a complex caption. It is our own: the paper uses one prompt for both styles."""

QUESTION_PROMPT = "Question: {question}. Answer the question concisely."
"""The paper's prompt for a visual question, including its period after the question mark."""
