"""The strict rule for marking answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.score.strict_rule import is_strictly_correct
from sarlens.prompts.normalize import grid_cell, members, normalize_words, parse_integer


@given(st.text(), st.text())
def test_the_strict_rule_accepts_any_text(truth: str, answer: str) -> None:
    """The rule never fails, and a truth is correct for itself if and only if it has words."""
    assert is_strictly_correct(truth, truth) is bool(members(truth))
    assert is_strictly_correct(truth, answer) in {True, False}


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
def test_numbers_are_parsed_from_digits_and_words(text: str, number: int | None) -> None:
    """A text is a number only if it has nothing else."""
    assert parse_integer(text) == number


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_integers_are_correct_if_equal(truth: int, answer: int) -> None:
    """An integer is correct for another if and only if they are equal."""
    assert is_strictly_correct(str(truth), f"{answer}.") is (truth == answer)


@pytest.mark.parametrize(
    ("text", "position"),
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
def test_positions_are_grid_cells(text: str, position: tuple[int, int] | None) -> None:
    """A position is one of nine grid cells in any wording, or None if contradictory or longer."""
    assert grid_cell(text) == position


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
def test_equivalent_words_are_correct(truth: str, answer: str, right: bool) -> None:
    """Plurals, articles, list order, and synonyms make no difference; other words do."""
    assert is_strictly_correct(truth, answer) is right


@given(st.text())
def test_normalization_is_idempotent(text: str) -> None:
    """Normalized words don't change if they are normalized again."""
    once = normalize_words(text)
    assert all(word == word.lower() for word in once)
    assert parse_integer(text) is None or len(once) == 1
