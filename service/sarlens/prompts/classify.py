"""From a question to the application it belongs to: the release has no such field, so rules stand in for it.

The rules are tried in order, first match wins: a yes/no question asks whether something is there, whatever else it
says; then counting, boxes, places, the five kinds of ``Others``, and what is left of the What and Which questions.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sarlens.prompts.applications import CATEGORIES, Application
from sarlens.prompts.words import words

CLASSES_PREFIX = re.compile(r"^the classes are:[^.]*\.\s*", re.IGNORECASE)
"""The sentence that goes before a SARDet question when subsets are mixed."""

BOX = re.compile(r"\[\s*-?\d+(?:\.\d*)?(?:\s*,\s*-?\d+(?:\.\d*)?){3}\s*\]")
"""A region as questions write it: ``[x, y, width, height]`` in pixels of the image, origin upper left."""

POLAR = re.compile(
    r"^(?:is|are|was|were) there\b|\byes or no\b"
    r"|^(?:is|are|was|were|does|do|did|can|could|has|have|would|will|should)\b(?!.*\bor\b)"
)
COUNTING = re.compile(
    r"\bhow many\b|^(?:what is |give |determine |estimate )?the (?:total )?(?:number|count) of\b|^count\b"
)
PLACE = r"(?:part|side|corner|area|region|quadrant|section|portion|position|location|half)"
POSITIONING = re.compile(
    rf"\bwhere\b|^(?:in|on|at|along|toward|towards|to) (?:which|what) {PLACE}\b|^which {PLACE}\b"
    r"|\bwhat is the (?:\w+ )?(?:position|location|placement) of\b"
)
OBJECT = re.compile(r"\bobjects?\b|\btargets?\b")
OTHER_KINDS = {
    "Shape": re.compile(r"\bshaped?\b|\bshapes\b"),
    "Direction": re.compile(r"\bdirections?\b|\borient(?:ed|ation)\b|\bwhich way\b|\bheading\b"),
    "Pattern": re.compile(r"\bpatterns?\b|\barrange(?:d|ment)\b|\blayout\b|\blaid out\b|\borgani[sz]ed\b|\bdistribut"),
    "Land Cover": re.compile(r"\bland[- ]?cover\b"),
    "Reasoning": re.compile(
        r"^(?:why|how)\b|\b(?:suggest|indicate|impl(?:y|ies)|infer|likely|might|could|purpose|reason|function|used for"
        r"|use of|usage|evidence)"
    ),
}
"""The kinds that the paper counts under Others, tried in this order."""

NAMING = re.compile(
    r"^(?:(?:in|on|at|of|under|to|for|near) )?(?:what|which)\b|^(?:name|identify|classify)\b"
    r"|^(?:is|are|does|do)\b.*\bor\b"
)


def without_prefix(question: str) -> str:
    """A question without the sentence that lists the classes."""
    return CLASSES_PREFIX.sub("", question.strip())


@lru_cache(maxsize=65536)
def classify(question: str) -> Application:
    """The application that a question belongs to; one that no rule knows is counted under Others."""
    text = _plain(question)
    rules = (
        (text.startswith("describe"), Application.IMAGE_DESCRIPTION),
        (POLAR.search(text), Application.OBJECT_IDENTIFICATION),
        (COUNTING.search(text), Application.INSTANCE_COUNTING),
        (BOX.search(text), Application.REGION_REFERRING),
        (POSITIONING.search(text), Application.OBJECT_POSITIONING),
        (any(rule.search(text) for rule in OTHER_KINDS.values()), Application.OTHERS),
        (NAMING.search(text), Application.OBJECT_CLASSIFICATION),
    )
    return next((application for matches, application in rules if matches), Application.OTHERS)


def made_from_boxes(question: str, application: Application) -> bool:
    """Whether a question is of SARVQA1's kind, so that one of a list of classes answers it, if it chooses at all.

    Such are questions after the object in a region or in the image, and after the place of one of ``CATEGORIES``.
    """
    text = _plain(question)
    match application:
        case Application.REGION_REFERRING:
            return not any(rule.search(text) for rule in OTHER_KINDS.values())
        case Application.OBJECT_CLASSIFICATION:
            return OBJECT.search(text) is not None
        case Application.OBJECT_POSITIONING:
            return not set(words(text)).isdisjoint(CATEGORIES)
        case _:
            return False


def other_kind(question: str) -> str:
    """Which of ``OTHER_KINDS`` a question of Application.OTHERS is; Reasoning where none is named."""
    text = _plain(question)
    return next((kind for kind, rule in OTHER_KINDS.items() if rule.search(text)), "Reasoning")


def _plain(question: str) -> str:
    return " ".join(without_prefix(question).lower().split())
