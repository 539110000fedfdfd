"""The lenient rule: an answer is correct if it means the truth, in a sentence or with other words around it.

It reads answers as the gateway reads typed values. The paper's and the strict rule stand beside it unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

from sarbench.score.strict_rule import is_strictly_correct
from sarlens.prompts.applications import CATEGORIES
from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import grid_cell, members, normalize_words, parse_integer, parse_numbers
from sarlens.prompts.reading import (
    NEGATIONS,
    contains_phrase,
    read_boolean,
    read_cell,
    read_choice,
    read_integer,
    read_numbers,
)


def is_leniently_correct(truth: str, answer: str) -> bool:
    """Whether an answer means the truth.

    The kind of the truth determines how the answer is read: yes or no, an integer, a list of numbers, a position, one
    of the six classes. The answer to any other truth must contain all members of the truth, without a negation or an
    "or". An answer that the strict rule accepts is correct.
    """
    if is_strictly_correct(truth, answer):
        return True
    readings: tuple[tuple[object, Callable[[str], object]], ...] = (
        (_boolean_of(truth), read_boolean),
        (parse_integer(truth), read_integer),
        (parse_numbers(truth), read_numbers),
        (grid_cell(truth), read_cell),
        (_category_of(truth), _read_category),
    )
    for value, read in readings:
        if value is not None:
            return read(answer) == value
    return _contains_members(truth, answer)


def _boolean_of(truth: str) -> bool | None:
    return {"yes": True, "no": False}.get(" ".join(normalize_words(truth)))


def _category_of(truth: str) -> str | None:
    words = " ".join(normalize_words(truth))
    return words if words in CATEGORIES else None


def _read_category(answer: str) -> str | None:
    return read_choice(answer, CATEGORIES)


def _contains_members(truth: str, answer: str) -> bool:
    truth_members, words = members(truth), normalize_words(final_answer(answer))
    denied = (NEGATIONS | {"or"}) & (set(words) - set(normalize_words(truth)))
    return bool(truth_members) and not denied and all(contains_phrase(words, member) for member in truth_members)
