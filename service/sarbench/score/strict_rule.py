"""The strict rule: an answer is correct if it states the truth and nothing else, in any spelling."""

from __future__ import annotations

from sarlens.prompts.normalize import grid_cell, members, parse_integer


def is_strictly_correct(truth: str, answer: str) -> bool:
    """Whether an answer means exactly the truth.

    An integer requires the same integer, in digits or words. A position requires the same one of nine grid cells. Other
    truths require the same words, apart from case, punctuation, articles, plurals, list order, and known synonyms. An
    empty answer or truth is never correct.
    """
    number = parse_integer(truth)
    if number is not None:
        return parse_integer(answer) == number
    position = grid_cell(truth)
    if position is not None:
        return grid_cell(answer) == position
    truth_words = members(truth)
    return bool(truth_words) and members(answer) == truth_words
