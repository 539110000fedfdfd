"""Paired comparisons, and calibration, against SciPy and by hand."""

from __future__ import annotations

from math import log

import pytest
from scipy.stats import binomtest

from sarbench.dataset.release_files import Subset
from sarbench.run.answers import Answer
from sarbench.score.calibration import calibrate
from sarbench.score.paired import compare, mcnemar_p_value
from sarlens.prompts.applications import Application


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 0), (7, 3), (3, 7), (50, 50), (900, 1100), (0, 3000)])
def test_mcnemars_test_is_an_exact_binomial_test(gained: int, lost: int) -> None:
    """The p-value equals SciPy's binomial test, also for thousands of texts."""
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar_p_value(gained, lost) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_a_comparison_counts_gained_and_lost_texts() -> None:
    """Of ten texts, four are gained and one is lost: the difference is 30 percentage points."""
    first = [True] * 5 + [False] * 5
    second = [True] * 4 + [False] + [True] * 4 + [False]
    comparison = compare(first, second, [str(index) for index in range(10)])
    assert (comparison.gained, comparison.lost) == (4, 1)
    assert comparison.difference.mean == pytest.approx(0.3)
    assert comparison.difference.low < 0.3 < comparison.difference.high
    assert comparison.p_value == pytest.approx(0.375)


def _answer(answer: str, probability: float | None) -> Answer:
    logprob = None if probability is None else log(probability)
    text = ("k", "i", "test", Subset.SARVQA1, Application.INSTANCE_COUNTING, "How many?", "2")
    return Answer(*text, answer, 0.0, logprob=logprob)  # type: ignore[arg-type]


def test_the_calibration_error_is_the_weighted_distance_of_the_bins() -> None:
    """Two of four answers at 0.95 are right and one at 0.35 is wrong: (4 x 0.45 + 1 x 0.35) / 5 = 0.43."""
    answers = [*[_answer("2", 0.95)] * 2, *[_answer("3", 0.95)] * 2, _answer("3", 0.35), _answer("2", None)]
    calibration = calibrate(answers)
    assert calibration is not None
    assert calibration.n == 5
    assert calibration.ece == pytest.approx(0.43)
    assert [(part.n, round(part.confidence, 9), part.accuracy) for part in calibration.bins] == [
        (1, 0.35, 0.0),
        (4, 0.95, 0.5),
    ]
    assert calibrate([_answer("2", None)]) is None
