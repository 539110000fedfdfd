"""Both rules for answers to questions, held to every quirk that is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.score.paper import Mark, paper_mark
from sarbench.score.strict import strictly_right
from sarlens.prompts.position import cell
from sarlens.prompts.words import members, whole_number, words
from stack.released import BOXED, GENERAL


@pytest.mark.parametrize(
    ("truth", "answer", "paper", "strict"),
    [
        # The paper's substring test comes first and lets these pass.
        ("no", "unknown", Mark.RIGHT, False),
        ("4", "14", Mark.RIGHT, False),
        ("1", "10 ships", Mark.RIGHT, False),
        ("top", "stop", Mark.RIGHT, False),
        ("ship", "No ships", Mark.RIGHT, False),
        ("", "anything", Mark.RIGHT, False),
        ("Yes", "yes", Mark.RIGHT, True),
        ("yes", "Yes.", Mark.RIGHT, True),
        ("top", "Top left", Mark.RIGHT, False),
        # Its exact branch can then never award anything.
        ("4", "four", Mark.WRONG, True),
        ("14", "4", Mark.WRONG, False),
        ("yes", "no", Mark.WRONG, False),
        ("no", "yes", Mark.WRONG, False),
        ("99", "100", Mark.WRONG, False),
        # A truth with a full stop, or a space around it, is not known as yes or no and goes to the judge.
        ("Yes.", "yes", Mark.TO_JUDGE, True),
        (" yes", "yes", Mark.TO_JUDGE, True),
        ("100", "99", Mark.TO_JUDGE, False),
        ("harbor", "harbour", Mark.TO_JUDGE, True),
        ("aircraft", "a plane", Mark.TO_JUDGE, True),
        ("swimming pool", "pond", Mark.TO_JUDGE, True),
        ("Commercial and residential", "Residential, commercial", Mark.TO_JUDGE, True),
        ("top left", "upper-left corner", Mark.TO_JUDGE, True),
        ("Rectangular", "Circular", Mark.TO_JUDGE, False),
        ("Dense trees", "", Mark.TO_JUDGE, False),
    ],
)
def test_both_rules_on_every_known_quirk(truth: str, answer: str, paper: Mark, strict: bool) -> None:
    """The paper's rule is kept with its flaws; the strict rule has none of them."""
    assert paper_mark(truth, answer) is paper
    assert strictly_right(truth, answer) is strict


@given(st.text(), st.text())
def test_the_papers_rule_is_their_script(truth: str, answer: str) -> None:
    """The mark follows from lower-casing both, substring, then a list of whole answers, in that order."""
    low_truth, low_answer = truth.lower(), answer.lower()
    listed = low_truth in ["yes", "no", *(str(number) for number in range(100))]
    expected = Mark.RIGHT if low_answer.find(low_truth) >= 0 else Mark.WRONG if listed else Mark.TO_JUDGE
    assert paper_mark(truth, answer) is expected


@pytest.mark.parametrize("truth", [row[2] for row in (*BOXED, *GENERAL)])
def test_the_truth_is_right_by_both_rules(truth: str) -> None:
    """Answering with the released answer, in any case, is always right."""
    for answer in (truth, truth.upper(), f" {truth}. "):
        assert paper_mark(truth, answer) is Mark.RIGHT
        assert strictly_right(truth, answer)


@given(st.text(), st.text())
def test_the_strict_rule_takes_any_text_and_is_fair(truth: str, answer: str) -> None:
    """It never fails, a truth with words in it is right of itself, and one without is never right."""
    assert strictly_right(truth, truth) is bool(members(truth))
    assert strictly_right(truth, answer) in {True, False}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        (" 4. ", 4),
        ("Four", 4),
        ("twenty-one", 21),
        ("ninety nine", 99),
        ("one hundred", 100),
        ("0", 0),
        ("007", 7),
        ("4 ships", None),
        ("4.5", None),
        ("-4", None),
        ("4 or 5", None),
        ("4-5", None),
        ("", None),
        ("none", None),
    ],
)
def test_numbers_count_in_digits_and_words(text: str, number: int | None) -> None:
    """An answer is a number only when it is nothing else."""
    assert whole_number(text) == number


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_integers_are_right_when_equal(truth: int, answer: int) -> None:
    """One integer is right for another exactly when they are equal."""
    assert strictly_right(str(truth), f"{answer}.") is (truth == answer)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("top", (0, 1)),
        ("top center", (0, 1)),
        ("upper left corner", (0, 0)),
        ("Left", (1, 0)),
        ("middle left", (1, 0)),
        ("near center", (1, 1)),
        ("in the centre of the image", (1, 1)),
        ("Bottom-right", (2, 2)),
        ("lower right side", (2, 2)),
        ("They are located in the bottom left part of the image.", (2, 0)),
        ("top and left", (0, 0)),
        ("top and bottom", None),
        ("left or right", None),
        ("top of the stadium", None),
        ("in the image", None),
        ("", None),
        ("stop", None),
    ],
)
def test_places_are_cells_of_a_grid(text: str, place: tuple[int, int] | None) -> None:
    """A place is one of nine cells, however it is worded, and nothing where it contradicts itself or says more."""
    assert cell(text) == place


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("ship", "Ships", True),
        ("ship", "a ship", True),
        ("ship", "vessel", True),
        ("ship", "ship and harbor", False),
        ("tank", "storage tanks", True),
        ("tank", "water tank", False),
        ("bridge", "bridges", True),
        ("Forest/park", "park, forest", True),
        ("Forest/park", "forest", False),
        ("Grid pattern", "grid", True),
        ("Urban", "urban area", True),
        ("grass", "grasses", True),
        ("Yes", "Yes, there are.", False),
        ("No", "no", True),
        ("ﬁeld", "field", True),
    ],
)
def test_words_count_as_the_same_thing(truth: str, answer: str, right: bool) -> None:
    """Plurals, articles, list order and the table of synonyms make no difference; anything more does."""
    assert strictly_right(truth, answer) is right


@given(st.text())
def test_words_are_settled_after_one_pass(text: str) -> None:
    """Plain words stay as they are when they are read again."""
    once = words(text)
    assert all(word == word.lower() for word in once)
    assert whole_number(text) is None or len(once) == 1
