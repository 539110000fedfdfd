"""Answer types: the structured output that a worker must produce, and the value that a text means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sarlens.chat.reasoning import split_reasoning
from sarlens.prompts.applications import CATEGORIES, POSITIONS, Application
from sarlens.prompts.classify import CLASSES_PREFIX, is_box_derived
from sarlens.prompts.normalize import CELLS
from sarlens.prompts.reading import read_boolean, read_cell_name, read_choice, read_integer

COUNT = "(0|[1-9][0-9]{0,3})"
"""Regular expression of an integer with at most four digits."""

Value = bool | int | str | None


@dataclass(frozen=True, slots=True)
class AnswerType:
    """The type of an answer's value."""

    type: Literal["boolean", "integer", "class", "position", "text"]
    choices: tuple[str, ...] = ()
    """All possible texts; empty if they aren't limited."""

    @property
    def constraint(self) -> dict[str, Any] | None:
        """Value of vLLM's field ``structured_outputs``, or None for free text."""
        if self.choices:
            return {"choice": list(self.choices)}
        return {"regex": COUNT} if self.type == "integer" else None

    def parse(self, text: str) -> Value:
        """Return the value that a text means, or None if it means no value of this type."""
        match self.type:
            case "boolean":
                return read_boolean(text)
            case "integer":
                return read_integer(text)
            case "position":
                return read_cell_name(text)
            case "class":
                return read_choice(text, self.choices)
            case "text":
                return split_reasoning(text)[1].strip() or None


BOOLEAN = AnswerType("boolean", ("Yes", "No"))
INTEGER = AnswerType("integer")
FREE_TEXT = AnswerType("text")


def answer_type_for(question: str, application: Application) -> AnswerType:
    """Return the answer type of a question.

    The answer to a question that lists classes is one of them. A box-derived question has the paper's classes, and any
    other positioning question has the nine grid cells.
    """
    listed = _listed_classes(question)
    boxed = is_box_derived(question, application)
    match application:
        case Application.OBJECT_IDENTIFICATION:
            return BOOLEAN
        case Application.INSTANCE_COUNTING:
            return INTEGER
        case Application.OBJECT_POSITIONING:
            return AnswerType(
                "position", listed if listed and set(listed) <= set(CELLS) else POSITIONS if boxed else CELLS
            )
        case Application.REGION_REFERRING | Application.OBJECT_CLASSIFICATION if listed or boxed:
            return AnswerType("class", listed or CATEGORIES)
    return FREE_TEXT


def _listed_classes(question: str) -> tuple[str, ...]:
    """Return the classes listed in the first sentence of a question."""
    sentence = CLASSES_PREFIX.match(question.strip())
    if sentence is None:
        return ()
    names = sentence[0].partition(":")[2].strip().rstrip(".").split(",")
    return tuple(choice for name in names if (choice := " ".join(name.split())) and choice.isprintable())
