"""Prompt templates of the paper, for questions and captions, and the acquisition sentence."""

from __future__ import annotations

from typing import Literal

from sarlens.prompts.applications import (
    CAPTION_PROMPT,
    CATEGORIES_PREFIX,
    DETAIL_PROMPT,
    POSITIONS_PREFIX,
    QUESTION_PROMPT,
    Application,
)
from sarlens.prompts.classify import CLASSES_PREFIX
from sarlens.stac import AcquisitionMetadata


def acquisition_sentence(metadata: AcquisitionMetadata) -> str:
    """Describe the acquisition in a sentence, or return an empty string if no field is set.

    Models of SARLANG-1M were trained without such a sentence.
    """
    phrases = [
        metadata.platform and f"by {metadata.platform}",
        metadata.datetime and f"on {metadata.datetime:%Y-%m-%d at %H:%M} UTC",
        metadata.orbit_state and f"in {metadata.orbit_state} orbit",
        metadata.instrument_mode and f"in {metadata.instrument_mode} mode",
        metadata.polarizations and f"in {' and '.join(metadata.polarizations)} polarization",
    ]
    if metadata.pixel_spacing_range and metadata.pixel_spacing_azimuth:
        phrases.append(f"with pixels of {metadata.pixel_spacing_range:g} m by {metadata.pixel_spacing_azimuth:g} m")
    description = ", ".join(phrase for phrase in phrases if phrase)
    image = f"{metadata.product_type} product" if metadata.product_type else "radar image"
    return f"This {image} was taken {description}." if description else ""


Style = Literal["concise", "complex"]
"""The two caption styles of the paper."""


def caption_prompt(style: Style) -> str:
    """Return the prompt for a caption; only the concise prompt is the paper's."""
    return CAPTION_PROMPT if style == "concise" else DETAIL_PROMPT


def question_prompt(question: str, application: Application, *, classes: bool, template: str = QUESTION_PROMPT) -> str:
    """Return the prompt for a question, by default the paper's.

    With ``classes``, the list of classes precedes the question, which takes the place of ``{question}`` in the
    template.
    """
    question = question.strip()
    if classes and not CLASSES_PREFIX.match(question):
        question = with_classes(question, application)
    return template.replace("{question}", question)


def with_classes(question: str, application: Application) -> str:
    """Return a box-derived question after its list of classes, as the paper does if subsets are mixed.

    Yes/no and counting questions have no classes and stay unchanged.
    """
    if application in {Application.OBJECT_CLASSIFICATION, Application.REGION_REFERRING}:
        return f"{CATEGORIES_PREFIX} {question}"
    if application is Application.OBJECT_POSITIONING:
        return f"{POSITIONS_PREFIX} {question}"
    return question
