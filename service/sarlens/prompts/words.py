"""Answers as plain words, so that spelling, plurals, number words and synonyms make no difference."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from sarlens.prompts.synonyms import SYNONYMS

WORD = re.compile(r"(?:(?<!\w)-)?\d+(?:\.\d+)?|[^\W\d_]+|[,/&;]")
ARTICLES = frozenset({"a", "an", "the"})
SEPARATORS = frozenset({",", "/", "&", ";", "and"})

# fmt: off
UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = {
    **{word: number for number, word in enumerate(UNITS)},
    **{word: 10 * number for number, word in enumerate(TENS, 2)},
    "hundred": 100,
}
MOST_DIGITS = 15
"""A longer number is nobody's count, and is left as it is spelled."""
ROUND = frozenset(str(NUMBERS[word]) for word in TENS)


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """Lower-case singular words without articles and punctuation, numbers in digits, synonyms made one.

    Commas, slashes, ``&`` and semicolons stay as words, since they part the members of a list.
    """
    spelled = WORD.findall(unicodedata.normalize("NFKC", text).lower())
    kept = [_singular(word) for word in _with_digits(spelled) if word not in ARTICLES]
    while kept and kept[-1] in SEPARATORS:
        kept.pop()
    return _with_synonyms(tuple(kept))


def members(text: str) -> frozenset[tuple[str, ...]]:
    """The members of a list such as "commercial and residential"; one member where the text is no list."""
    parts: list[list[str]] = [[]]
    for word in words(text):
        if word in SEPARATORS:
            parts.append([])
        else:
            parts[-1].append(word)
    return frozenset(tuple(part) for part in parts if part)


def whole_number(text: str) -> int | None:
    """The integer that the text is, in digits or words; None where it is anything more or else."""
    spelled = words(text)
    return _integer(spelled[0]) if len(spelled) == 1 else None


def only_number(text: str) -> int | None:
    """The one number that the text speaks of, where it is whole and not negative; None where there are more or none."""
    spoken = [word for word in words(text) if word[-1].isdecimal()]
    return _integer(spoken[0]) if len(spoken) == 1 else None


def _integer(word: str) -> int | None:
    return int(word) if word.isdecimal() and len(word) <= MOST_DIGITS else None


def _with_digits(spelled: list[str]) -> list[str]:
    """Number words replaced: ``twenty one`` by ``21``, ``one hundred`` by ``100``."""
    out: list[str] = []
    for word in spelled:
        value = NUMBERS.get(word)
        before = out[-1] if out and _integer(out[-1]) is not None else ""
        if value is None:
            out.append(word)
        elif before in ROUND and 1 <= value <= 9:
            out[-1] = str(int(before) + value)
        elif before and value == 100:
            out[-1] = str(int(before) * 100)
        else:
            out.append(str(value))
    return out


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    plain = [[tuple(_singular(word) for word in name.split()) for name in group] for group in SYNONYMS]
    return {name: group[0] for group in plain for name in group}


PHRASES = _phrases()
LONGEST = max(map(len, PHRASES))


def _with_synonyms(spelled: tuple[str, ...]) -> tuple[str, ...]:
    out: tuple[str, ...] = ()
    place = 0
    while place < len(spelled):
        for length in range(min(LONGEST, len(spelled) - place), 0, -1):
            if found := PHRASES.get(spelled[place : place + length]):
                out, place = (*out, *found), place + length
                break
        else:
            out, place = (*out, spelled[place]), place + 1
    return out
