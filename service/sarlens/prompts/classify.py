"""Classify questions by application. The release of SARLANG-1M has no such field, so rules replace it.

The first matching rule wins: descriptions, yes/no questions, counting, boxes, positions, the five subtypes of
``Others``, and then the remaining what and which questions. The rules read a question without the words around it:
"Can you tell me how many ships there are?" is "how many ships there are".
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

_COMMAND = (
    r"(?:tell|say|count|name|identify|classify|locate|find|describe|list|give|state|report|determine|estimate|write"
    r"|provide|point|recogni[sz]e|summari[sz]e|caption)"
)
LEADS = re.compile(
    rf"(?:please|kindly)\s+|(?:can|could|would|will) you (?:please )?(?={_COMMAND}\b)"
    r"|do you know (?=how|what|which|where)"
    r"|(?:tell|show) me |tell (?=how|what|which|where)|say (?=how|what|which|where)"
    r"|(?:[^,?]{1,80}, |(?:in|within|on|from|for) (?:this|the|that) (?:\w+ ){0,2}(?:image|scene|picture|chip) )"
    r"(?=(?:is|are|was|were|do|does|can|how|what|which|where|why|count|name|identify|locate|describe)\b)"
)
"""Words before a question that don't change its application."""
_CONTRACTIONS = (("what's ", "what is "), ("where's ", "where is "), ("isn't ", "is "), ("aren't ", "are "))

DESCRIPTION = re.compile(
    r"describe\b(?! the (?:\w+ )?(?:shapes?|layout|arrangement|pattern|orientation|direction|distribution|location"
    r"|position|placement|land[- ]cover)\b)"
    r"|(?:caption|summari[sz]e|about (?:the|this))\b"
    r"|(?:give|write|provide|generate|create) (?:me )?an? (?:\w+ )*(?:caption|description|summary)\b"
)
POLAR = re.compile(
    r"^(?:is|are|was|were) there\b|\byes or no\b|\btrue or false\b|^(?:whether|if|any)\b"
    r"|^\w+ (?:out )?(?:whether|if)\b"
    r"|^(?:is|are|was|were|does|do|did|can|could|has|have|would|will|should)\b(?!.*\bor\b)"
)
_ASKED = r"(?:what is |what |give |give me |tell |state |report |determine |estimate |find |point out |describe )?"
COUNTING = re.compile(
    r"\bhow many\b|^count\b|\bcount\?$"
    rf"|^{_ASKED}(?:the |a )?(?:total |exact |approximate )?(?:number|count|quantity) of\b"
)
PLACE = r"(?:part|side|corner|area|region|quadrant|section|portion|position|location|half)"
POSITIONING = re.compile(
    rf"\bwhere(?:abouts)?\b|^locate\b|^which {PLACE}\b"
    rf"|^(?:in|on|at|along|toward|towards|to) (?:which|what) {PLACE}\b"
    r"|^what (?:part|side|corner|quadrant|section|portion|half)\b"
    r"|^what (?:area|region) of the (?:image|scene|picture)\b"
    rf"|^{_ASKED}the (?:\w+ )?(?:position|location|placement) of\b|\bwhat is the (?:\w+ )?(?:position|location) of\b"
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
    r"^(?:(?:in|on|at|of|under|to|for|near) )?(?:what|which)\b|^(?:name|identify|classify|list|recogni[sz]e)\b"
    r"|^(?:give |state |report |determine )?the (?:category|class|type|name) of\b|\bis what\?$"
    r"|^(?:is|are|does|do)\b.*\bor\b"
)


def without_prefix(question: str) -> str:
    """Return a question without the sentence that lists the classes."""
    return CLASSES_PREFIX.sub("", question.strip())


def classify(question: str) -> Application:
    """Return the application of a question; the default is Others."""
    return classify_by_rule(question)[0]


@lru_cache(maxsize=65536)
def classify_by_rule(question: str) -> tuple[Application, str]:
    """Return the application of a question and the name of the rule that matched, such as ``counting``."""
    text = _core(question)
    rules = (
        (DESCRIPTION.match(text), Application.IMAGE_DESCRIPTION, "description"),
        (POLAR.search(text), Application.OBJECT_IDENTIFICATION, "yes or no"),
        (COUNTING.search(text), Application.INSTANCE_COUNTING, "number of"),
        (BOX.search(text), Application.REGION_REFERRING, "box"),
        (POSITIONING.search(text), Application.OBJECT_POSITIONING, "where"),
        *((rule.search(text), Application.OTHERS, subtype) for subtype, rule in OTHERS_SUBTYPES.items()),
        (NAMING.search(text), Application.OBJECT_CLASSIFICATION, "what or which"),
    )
    return next(((application, name) for found, application, name in rules if found), (Application.OTHERS, "no rule"))


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


def _core(question: str) -> str:
    """Return a question in lower case, without the words before it and without contractions."""
    text = _plain(question)
    for short, long in _CONTRACTIONS:
        if text.startswith(short):
            text = long + text.removeprefix(short)
    while lead := LEADS.match(text):
        text = text[lead.end() :]
    return text


def _plain(question: str) -> str:
    return " ".join(without_prefix(question).lower().split())
