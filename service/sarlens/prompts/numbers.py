"""Numbers in a list of words, in digits or spelled out."""

from __future__ import annotations

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
}
MULTIPLIERS = {"dozen": 12, "hundred": 100, "thousand": 1000}
MAX_DIGITS = 15
"""Longer numbers stay text: no count has that many digits."""
_MAX_MULTIPLIED = 1000


def integer_of(word: str) -> int | None:
    """Return the integer that a word in digits is, or None."""
    return int(word) if word.isdecimal() and len(word) <= MAX_DIGITS else None


def with_digits(words: list[str]) -> list[str]:
    """Replace spelled numbers: ``twenty one`` becomes ``21``, ``one hundred and ten`` becomes ``110``."""
    out: list[str] = []
    index = 0
    while index < len(words):
        value, end = _read_spelled(words, index)
        out.append(canonical_number(words[index]) if value is None else str(value))
        index = end
    return out


def canonical_number(word: str) -> str:
    """Return a number without thousands separators, trailing zeros of its fraction, and leading zeros: 7 for 7.0."""
    if not word[-1].isdecimal():
        return word
    number = word.replace(",", "")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    value = integer_of(number)
    return number if value is None else str(value)


def _read_spelled(words: list[str], index: int) -> tuple[int | None, int]:
    """Return the number that starts at a word and the index after it, or None and the next index."""
    total = current = 0
    end = start = index
    first = integer_of(words[index])
    if first is not None:
        if words[index + 1 : index + 2] and words[index + 1] in MULTIPLIERS and first < _MAX_MULTIPLIED:
            current, end = first, index + 1
        else:
            return None, index + 1
    after_multiplier = False
    while end < len(words):
        word = words[end]
        value, factor = NUMBERS.get(word), MULTIPLIERS.get(word)
        if value is not None and (end == start or _follows(current, value)):
            current, after_multiplier = current + value, False
        elif factor is not None and (current or end == start) and current < factor:
            current = max(current, 1) * factor
            if factor == _MAX_MULTIPLIED:
                total, current = total + current, 0
            after_multiplier = True
        elif word == "and" and after_multiplier and words[end + 1 : end + 2] and words[end + 1] in NUMBERS:
            after_multiplier = False
        else:
            break
        end += 1
    return (total + current, end) if end > start else (None, index + 1)


def _follows(current: int, value: int) -> bool:
    """Whether a spelled number up to 90 can follow ``current``, as ``five`` follows ``twenty`` or ``one hundred``."""
    last = current % 100
    return value > 0 and (last == 0 or (last >= 20 and last % 10 == 0 and value < 10))
