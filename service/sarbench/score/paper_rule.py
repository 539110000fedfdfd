"""The paper's rule for marking an answer, bit-faithful to its script, flaws included.

Both strings are lower-cased and otherwise unchanged. An answer that contains the truth is correct, so "unknown" passes
for "no", "14" for "4", and anything for an empty truth. Otherwise, truths yes, no, and 0 to 99 require an exact match,
which cannot succeed after the first test. The script sends all other answers to a language model.
"""

from __future__ import annotations

from enum import StrEnum

EXACT_MATCH_TRUTHS = frozenset({"yes", "no", *map(str, range(100))})


class PaperVerdict(StrEnum):
    """Result of the paper's rule for one answer."""

    CORRECT = "right"
    WRONG = "wrong"
    NEEDS_JUDGE = "to judge"


def apply_paper_rule(truth: str, answer: str) -> PaperVerdict:
    """Mark one answer as the paper's script does, up to the call of its judge."""
    truth, answer = truth.lower(), answer.lower()
    if truth in answer:
        return PaperVerdict.CORRECT
    return PaperVerdict.WRONG if truth in EXACT_MATCH_TRUTHS else PaperVerdict.NEEDS_JUDGE
