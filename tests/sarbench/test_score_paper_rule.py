"""The paper's rule for marking answers, next to the strict rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.score.paper_rule import PaperVerdict, apply_paper_rule
from sarbench.score.strict_rule import is_strictly_correct
from support.sarlang_fixture import BOXED, GENERAL


@pytest.mark.parametrize(
    ("truth", "answer", "paper", "strict"),
    [
        # The paper's substring test comes first and lets these pass.
        ("no", "unknown", PaperVerdict.CORRECT, False),
        ("4", "14", PaperVerdict.CORRECT, False),
        ("1", "10 ships", PaperVerdict.CORRECT, False),
        ("top", "stop", PaperVerdict.CORRECT, False),
        ("ship", "No ships", PaperVerdict.CORRECT, False),
        ("", "anything", PaperVerdict.CORRECT, False),
        ("Yes", "yes", PaperVerdict.CORRECT, True),
        ("yes", "Yes.", PaperVerdict.CORRECT, True),
        ("top", "Top left", PaperVerdict.CORRECT, False),
        # Its exact branch can then never award anything.
        ("4", "four", PaperVerdict.WRONG, True),
        ("14", "4", PaperVerdict.WRONG, False),
        ("yes", "no", PaperVerdict.WRONG, False),
        ("no", "yes", PaperVerdict.WRONG, False),
        ("99", "100", PaperVerdict.WRONG, False),
        # A truth with a full stop, or a space around it, is not known as yes or no and goes to the judge.
        ("Yes.", "yes", PaperVerdict.NEEDS_JUDGE, True),
        (" yes", "yes", PaperVerdict.NEEDS_JUDGE, True),
        ("100", "99", PaperVerdict.NEEDS_JUDGE, False),
        ("harbor", "harbour", PaperVerdict.NEEDS_JUDGE, True),
        ("aircraft", "a plane", PaperVerdict.NEEDS_JUDGE, True),
        ("swimming pool", "pond", PaperVerdict.NEEDS_JUDGE, True),
        ("Commercial and residential", "Residential, commercial", PaperVerdict.NEEDS_JUDGE, True),
        ("top left", "upper-left corner", PaperVerdict.NEEDS_JUDGE, True),
        ("Rectangular", "Circular", PaperVerdict.NEEDS_JUDGE, False),
        ("Dense trees", "", PaperVerdict.NEEDS_JUDGE, False),
    ],
)
def test_both_rules_on_known_cases(truth: str, answer: str, paper: PaperVerdict, strict: bool) -> None:
    """The paper's rule is reproduced with its flaws, which the strict rule doesn't have."""
    assert apply_paper_rule(truth, answer) is paper
    assert is_strictly_correct(truth, answer) is strict


@given(st.text(), st.text())
def test_the_paper_rule_equals_the_papers_script(truth: str, answer: str) -> None:
    """The verdict follows from lower-casing, then the substring test, then the list of exact answers."""
    low_truth, low_answer = truth.lower(), answer.lower()
    listed = low_truth in ["yes", "no", *(str(number) for number in range(100))]
    expected = (
        PaperVerdict.CORRECT
        if low_answer.find(low_truth) >= 0
        else PaperVerdict.WRONG
        if listed
        else PaperVerdict.NEEDS_JUDGE
    )
    assert apply_paper_rule(truth, answer) is expected


@pytest.mark.parametrize("truth", [row[2] for row in (*BOXED, *GENERAL)])
def test_the_released_answer_is_correct_by_both_rules(truth: str) -> None:
    """The released answer is correct in any case and with spaces or a period."""
    for answer in (truth, truth.upper(), f" {truth}. "):
        assert apply_paper_rule(truth, answer) is PaperVerdict.CORRECT
        assert is_strictly_correct(truth, answer)
