"""Classify questions by application. The release of SARLANG-1M has no such field, so rules replace it.

The first matching rule wins: yes/no questions, counting, boxes, positions, the five subtypes of ``Others``, and then
the remaining what and which questions.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sarlens.prompts.applications import CATEGORIES, Application
from sarlens.prompts.normalize import normalize_words

CLASSES_PREFIX = re.compile(r"^the classes are:[^.]*\.\s*", re.IGNORECASE)
"""The sentence that precedes a SARDet question if subsets are mixed."""

BOX = re.compile(r"\[\s*-?\d+(?:\.\d*)?(?:\s*,\s*-?\d+(?:\.\d*)?){3}\s*\]")
"""A region in a question: ``[x, y, width, height]`` in pixels of the image, origin upper left."""

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
OTHERS_SUBTYPES = {
    "Shape": re.compile(r"\bshaped?\b|\bshapes\b"),
    "Direction": re.compile(r"\bdirections?\b|\borient(?:ed|ation)\b|\bwhich way\b|\bheading\b"),
    "Pattern": re.compile(r"\bpatterns?\b|\barrange(?:d|ment)\b|\blayout\b|\blaid out\b|\borgani[sz]ed\b|\bdistribut"),
    "Land Cover": re.compile(r"\bland[- ]?cover\b"),
    "Reasoning": re.compile(
        r"^(?:why|how)\b|\b(?:suggest|indicate|impl(?:y|ies)|infer|likely|might|could|purpose|reason|function|used for"
        r"|use of|usage|evidence)"
    ),
}
"""The subtypes that the paper counts under Others, in the order of the rules."""

NAMING = re.compile(
    r"^(?:(?:in|on|at|of|under|to|for|near) )?(?:what|which)\b|^(?:name|identify|classify)\b"
    r"|^(?:is|are|does|do)\b.*\bor\b"
)


def without_prefix(question: str) -> str:
    """Return a question without the sentence that lists the classes."""
    return CLASSES_PREFIX.sub("", question.strip())


@lru_cache(maxsize=65536)
def classify(question: str) -> Application:
    """Return the application of a question; the default is Others."""
    text = _plain(question)
    rules = (
        (text.startswith("describe"), Application.IMAGE_DESCRIPTION),
        (POLAR.search(text), Application.OBJECT_IDENTIFICATION),
        (COUNTING.search(text), Application.INSTANCE_COUNTING),
        (BOX.search(text), Application.REGION_REFERRING),
        (POSITIONING.search(text), Application.OBJECT_POSITIONING),
        (any(rule.search(text) for rule in OTHERS_SUBTYPES.values()), Application.OTHERS),
        (NAMING.search(text), Application.OBJECT_CLASSIFICATION),
    )
    return next((application for matches, application in rules if matches), Application.OTHERS)


def is_box_derived(question: str, application: Application) -> bool:
    """Return whether a question belongs to SARVQA1, whose questions were derived from bounding boxes.

    Such questions concern the object in a region or in the image, or the position of one of ``CATEGORIES``. Their
    answer is one of a list of classes.
    """
    text = _plain(question)
    match application:
        case Application.REGION_REFERRING:
            return not any(rule.search(text) for rule in OTHERS_SUBTYPES.values())
        case Application.OBJECT_CLASSIFICATION:
            return OBJECT.search(text) is not None
        case Application.OBJECT_POSITIONING:
            return not set(normalize_words(text)).isdisjoint(CATEGORIES)
        case _:
            return False


def others_subtype(question: str) -> str:
    """Return the subtype of a question of ``Application.OTHERS``; the default is Reasoning."""
    text = _plain(question)
    return next((subtype for subtype, rule in OTHERS_SUBTYPES.items() if rule.search(text)), "Reasoning")


def _plain(question: str) -> str:
    return " ".join(without_prefix(question).lower().split())
