"""The class of objects that a question counts or locates."""

from __future__ import annotations

import re

from sarlens.prompts.applications import CATEGORIES, Application
from sarlens.prompts.classify import without_prefix
from sarlens.prompts.normalize import SEPARATORS, normalize_words

COMPACT_CLASSES = frozenset({"ship", "aircraft", "car", "tank"})
"""Classes of objects that are bright spots in a radar image."""

_END = (
    r"(?=\s+(?:are|is|can|do|does|were|was|in|on|at|near|within|there|visible|present|located|positioned|or)\b|[?.,]|$)"
)
_PHRASES = {
    Application.INSTANCE_COUNTING: re.compile(rf"\b(?:how many|(?:number|count) of|count)\s+(?:the\s+)?(.+?){_END}"),
    Application.OBJECT_IDENTIFICATION: re.compile(
        rf"\b(?:is|are|was|were) there\s+(?:(?:an?|any|some|the|at least one)\s+)?(.+?){_END}"
    ),
    Application.OBJECT_POSITIONING: re.compile(rf"\bwhere (?:is|are)\s+(?:(?:the|most|an?)\s+)*(.+?){_END}"),
}
_MAX_WORDS = 4


def object_class(question: str, application: Application) -> str | None:
    """Return the class of the objects that a question counts, searches for or locates, in the singular.

    One of ``CATEGORIES`` is returned without its adjectives. Return None for other questions, and for lists of classes.
    """
    pattern = _PHRASES.get(application)
    phrase = pattern and pattern.search(" ".join(without_prefix(question).lower().split()))
    if not phrase:
        return None
    words = normalize_words(phrase[1])
    if not 1 <= len(words) <= _MAX_WORDS or not SEPARATORS.isdisjoint(words):
        return None
    return words[-1] if words[-1] in CATEGORIES else " ".join(words)


def presence_of(application: Application, value: object) -> bool | None:
    """Return whether an answer says that there are objects; None if it says neither."""
    match application:
        case Application.INSTANCE_COUNTING:
            return value > 0 if isinstance(value, int) else None
        case Application.OBJECT_IDENTIFICATION:
            return value if isinstance(value, bool) else None
        case _:
            return None if value is None else True
