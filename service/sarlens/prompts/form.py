"""The form that an answer has: how a worker is held to it, and what the text that comes back means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sarlens.prompts.applications import CATEGORIES, POSITIONS, Application
from sarlens.prompts.classify import CLASSES_PREFIX, made_from_boxes
from sarlens.prompts.position import CELLS, place_name
from sarlens.prompts.words import only_number, words

COUNT = "(0|[1-9][0-9]{0,3})"
"""An integer of at most four digits, as a regular expression."""

Value = bool | int | str | None


@dataclass(frozen=True, slots=True)
class Form:
    """What kind of value an answer is, and the texts that it can be, where those are known."""

    type: Literal["boolean", "integer", "class", "position", "text"]
    choices: tuple[str, ...] = ()

    @property
    def constraint(self) -> dict[str, Any] | None:
        """What vLLM takes as ``structured_outputs``; None leaves the answer free."""
        if self.choices:
            return {"choice": list(self.choices)}
        return {"regex": COUNT} if self.type == "integer" else None

    def read(self, text: str) -> Value:
        """The value that a text means; None where it means none."""
        match self.type:
            case "boolean":
                return _yes_or_no(text)
            case "integer":
                return only_number(text)
            case "position":
                return place_name(text)
            case "class":
                return next((choice for choice in self.choices if words(choice) == words(text)), None)
            case "text":
                return text.strip() or None


YES_OR_NO = Form("boolean", ("Yes", "No"))
NUMBER = Form("integer")
FREE = Form("text")


def form_of(question: str, application: Application) -> Form:
    """The form of the answer to a question.

    A question that lists classes itself is answered by one of them, one made from boxes by the paper's; other
    questions after a place by one of nine cells.
    """
    listed = _listed(question)
    boxed = made_from_boxes(question, application)
    match application:
        case Application.OBJECT_IDENTIFICATION:
            return YES_OR_NO
        case Application.INSTANCE_COUNTING:
            return NUMBER
        case Application.OBJECT_POSITIONING:
            return Form("position", listed if listed and set(listed) <= set(CELLS) else POSITIONS if boxed else CELLS)
        case Application.REGION_REFERRING | Application.OBJECT_CLASSIFICATION if listed or boxed:
            return Form("class", listed or CATEGORIES)
    return FREE


def _listed(question: str) -> tuple[str, ...]:
    """The classes in the sentence that a question may begin with."""
    sentence = CLASSES_PREFIX.match(question.strip())
    if sentence is None:
        return ()
    named = sentence[0].partition(":")[2].strip().rstrip(".").split(",")
    return tuple(choice for name in named if (choice := " ".join(name.split())) and choice.isprintable())


def _yes_or_no(text: str) -> bool | None:
    """Yes or no by the first word, unless the text says the other as well."""
    said = words(text)
    first = said[0] if said else ""
    if first not in {"yes", "no"} or {"yes", "no"} <= set(said):
        return None
    return first == "yes"
