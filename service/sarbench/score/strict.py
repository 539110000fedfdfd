"""The strict rule: an answer is right when it says the truth and nothing else, however it spells it."""

from __future__ import annotations

from sarlens.prompts.position import cell
from sarlens.prompts.words import members, whole_number


def strictly_right(truth: str, answer: str) -> bool:
    """Whether an answer means exactly the truth.

    An integer needs the same integer, in digits or words; a place the same of nine cells; anything else the same
    words but for case, punctuation, articles, plurals, the order of a list and the table of synonyms. An empty
    answer or truth is never right.
    """
    number = whole_number(truth)
    if number is not None:
        return whole_number(answer) == number
    place = cell(truth)
    if place is not None:
        return cell(answer) == place
    meant = members(truth)
    return bool(meant) and members(answer) == meant
