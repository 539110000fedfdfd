"""The rule by which the authors' script marks an answer, faithful to the bit, its flaws included.

Both sides are lower-cased and nothing else. An answer that contains the truth is right, which lets "unknown" pass for
"no", "14" for "4" and anything for an empty truth. Else yes, no and 0 to 99 are compared whole, which can never succeed
after the first test. Everything else their script puts to a language model.
"""

from __future__ import annotations

from enum import StrEnum

COMPARED_WHOLE = frozenset({"yes", "no", *map(str, range(100))})


class Mark(StrEnum):
    """What the rule says of one answer."""

    RIGHT = "right"
    WRONG = "wrong"
    TO_JUDGE = "to judge"


def paper_mark(truth: str, answer: str) -> Mark:
    """Mark one answer as the authors' script does, up to the point where it calls its judge."""
    truth, answer = truth.lower(), answer.lower()
    if truth in answer:
        return Mark.RIGHT
    return Mark.WRONG if truth in COMPARED_WHOLE else Mark.TO_JUDGE
