"""Calibration of the probabilities of answers: expected calibration error, and the bins of a reliability plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from sarbench.run.answers import Answer, Outcome
from sarbench.score.strict_rule import is_strictly_correct

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers whose probability lies in one of ``BINS`` equal intervals."""

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error of ``n`` answers with log-probabilities, and the bins that have answers."""

    n: int
    ece: float
    bins: list[ReliabilityBin]


def calibrate(answers: Sequence[Answer]) -> Calibration | None:
    """Return the calibration of the answers to questions by the strict rule, or None without log-probabilities.

    The confidence of an answer is the probability of all its tokens together. The expected calibration error is that of
    Naeini et al. (2015): the mean distance of accuracy and confidence over the bins, weighted by their answers.
    """
    scored = [answer for answer in answers if answer.logprob is not None and answer.outcome is Outcome.ANSWERED]
    if not scored:
        return None
    confidence = np.array([exp(answer.logprob or 0.0) for answer in scored])
    right = np.array([is_strictly_correct(answer.truth, answer.text) for answer in scored], dtype=np.float64)
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = [
        ReliabilityBin(int(chosen.sum()), float(confidence[chosen].mean()), float(right[chosen].mean()))
        for index in range(BINS)
        if (chosen := bin_of == index).any()
    ]
    ece = sum(part.n * abs(part.accuracy - part.confidence) for part in bins) / len(scored)
    return Calibration(len(scored), float(ece), bins)
