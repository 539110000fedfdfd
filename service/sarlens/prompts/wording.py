"""How a question or a wish for a caption is put to a model: the paper's words, for the gateway and the benchmark."""

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

Style = Literal["concise", "complex"]
"""The paper's two kinds of captions."""


def caption_prompt(style: Style) -> str:
    """What asks for a caption; only that of the concise one is the paper's."""
    return CAPTION_PROMPT if style == "concise" else DETAIL_PROMPT


def question_prompt(question: str, application: Application, *, classes: bool) -> str:
    """The paper's words around a question; ``classes`` puts those that it chooses from before it."""
    question = question.strip()
    if classes and not CLASSES_PREFIX.match(question):
        question = with_classes(question, application)
    return QUESTION_PROMPT.format(question=question)


def with_classes(question: str, application: Application) -> str:
    """A question made from boxes, as it is asked where subsets are mixed: after the classes that it chooses from.

    Yes/no and counting questions choose from none and stay as they are.
    """
    if application in {Application.OBJECT_CLASSIFICATION, Application.REGION_REFERRING}:
        return f"{CATEGORIES_PREFIX} {question}"
    if application is Application.OBJECT_POSITIONING:
        return f"{POSITIONS_PREFIX} {question}"
    return question
