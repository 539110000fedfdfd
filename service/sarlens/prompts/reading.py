"""Values that a model's answer means, in any of the usual wordings.

Typed answers of the gateway and the lenient rule of ``sarbench score`` read answers by these functions. Each reads the
final answer, apart from reasoning and markup, and returns None if that is ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import (
    BRACKETS,
    CELLS,
    CENTER,
    COLUMNS,
    ROWS,
    SEPARATORS,
    STOPWORDS,
    grid_cell,
    normalize_words,
    parse_numbers,
)
from sarlens.prompts.numbers import integer_of

NEGATIONS = frozenset({"no", "not", "none", "neither", "nor", "never", "without", "cannot", "t"})
"""Words that deny; ``t`` is the rest of ``isn't``."""
_CONTRASTS = frozenset({"but", "however", "although", "except"})
_NONE = re.compile(
    r"(?:none|no|nothing|zero)$|none (?:of|is|are|was|were|visible|present|seen|in)\b"
    r"|(?:there (?:(?:is|are|was|were) )?)?(?:no|not any|(?:is|are|was|were)n t any) "
    r"(?!(?:idea|way|information|clue|answer|certain|doubt|longer|more|fewer|less|need|clear)\b)\w"
)
"""A text of normalized words that says that there is nothing."""
_AFFIRMED = re.compile(r"there (?:is|are|was|were) \w")


def read_integer(text: str) -> int | None:
    """Return the only number of an answer if it is a non-negative integer, and 0 for "none" or "no ships"."""
    words = normalize_words(final_answer(text))
    numbers = [word for word in words if word[-1].isdecimal()]
    if not numbers and _says_none(words):
        return 0
    return integer_of(numbers[0]) if len(numbers) == 1 else None


def read_numbers(text: str) -> tuple[float, ...] | None:
    """Return the numbers of the only list in brackets of an answer, or of an answer that is one list of numbers."""
    answer = final_answer(text)
    listed = [match[0] for match in BRACKETS.finditer(answer)]
    return parse_numbers(listed[0] if len(listed) == 1 else answer)


def read_boolean(text: str) -> bool | None:
    """Return whether an answer says yes: by its first word, or by "there is" and "there are no"."""
    words = normalize_words(final_answer(text))
    first_word = words[0] if words else ""
    if first_word in {"yes", "no"} and not {"yes", "no"} <= set(words):
        return first_word == "yes"
    if words in {("true",), ("false",)}:
        return first_word == "true"
    if first_word == "there":
        if _says_none(words):
            return False
        if _AFFIRMED.match(" ".join(words)) and not NEGATIONS & set(words):
            return True
    return None


def read_cell(text: str) -> tuple[int, int] | None:
    """Return the row and column of the only grid cell that an answer names, as ``grid_cell`` does.

    Other words don't count, unless they deny the position, or relate it to something else than the image.
    """
    answer = final_answer(text)
    exact = grid_cell(answer)
    if exact is not None:
        return exact
    words = normalize_words(answer)
    rest = set(words) - STOPWORDS - SEPARATORS
    named = rest & {*ROWS, *COLUMNS, CENTER}
    if not named or rest & (NEGATIONS | _CONTRASTS | {"or"}) or _relates_to_an_object(words):
        return None
    return grid_cell(" ".join(named))


def read_cell_name(text: str) -> str | None:
    """Return the name of the grid cell of ``read_cell``."""
    cell = read_cell(text)
    return None if cell is None else CELLS[3 * cell[0] + cell[1]]


def read_choice(text: str, choices: Iterable[str]) -> str | None:
    """Return the only one of ``choices`` that an answer names."""
    words = normalize_words(final_answer(text))
    phrases = {normalize_words(choice): choice for choice in choices}
    if words in phrases:
        return phrases[words]
    if set(words) & (NEGATIONS | {"or"}):
        return None
    found = [phrase for phrase in phrases if contains_phrase(words, phrase)]
    longest = [
        phrase for phrase in found if not any(phrase != other and contains_phrase(other, phrase) for other in found)
    ]
    return phrases[longest[0]] if len(longest) == 1 else None


def contains_phrase(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether the words of a phrase follow each other in a text."""
    return bool(phrase) and any(words[start : start + len(phrase)] == phrase for start in range(len(words)))


def _says_none(words: tuple[str, ...]) -> bool:
    return _NONE.match(" ".join(words)) is not None and not _CONTRASTS & set(words)


def _relates_to_an_object(words: tuple[str, ...]) -> bool:
    """Whether a position is one of an object: "top of the stadium", but not "top of the image"."""
    return any(
        word == "of" and after not in STOPWORDS and after not in {*ROWS, *COLUMNS, CENTER}
        for word, after in pairwise(words)
    )
