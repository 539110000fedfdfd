"""The strict rule: an answer is correct if it states the truth and nothing else, in any spelling."""

from __future__ import annotations

from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import grid_cell, members, parse_integer, parse_numbers


def is_strictly_correct(truth: str, answer: str) -> bool:
    """Whether the final answer means exactly the truth.

    An integer requires the same integer, in digits or words; "none" is 0. A list of numbers, such as a box, requires
    the same numbers in the same order. A position requires the same one of nine grid cells. Other truths require the
    same words, apart from case, punctuation, articles, plurals, list order, and known synonyms. An empty answer or
    truth is never correct.
    """
    return any(_is_same(truth, text) for text in dict.fromkeys((final_answer(answer), answer)))


def _is_same(truth: str, answer: str) -> bool:
    number = parse_integer(truth)
    if number is not None:
        return parse_integer(answer) == number or (number == 0 and members(answer) == {("none",)})
    numbers = parse_numbers(truth)
    if numbers is not None:
        return parse_numbers(answer) == numbers
    position = grid_cell(truth)
    if position is not None:
        return grid_cell(answer) == position
    truth_words = members(truth)
    return bool(truth_words) and members(answer) == truth_words
