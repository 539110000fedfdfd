"""Paired comparison of two runs on the texts that both asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log

from sarbench.score.bootstrap import MeanInterval, bootstrap_mean


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two accuracies on the same texts.

    ``difference`` is that of the second run minus the first, with a bootstrap interval over images. ``gained`` counts
    the texts that only the second run answers right, and ``lost`` those that only the first does.
    """

    difference: MeanInterval
    gained: int
    lost: int
    p_value: float
    """Two-sided exact p-value of McNemar's test (1947)."""


def compare(first: Sequence[bool], second: Sequence[bool], images: Sequence[str]) -> PairedComparison:
    """Compare whether two runs answer the same texts right, one value for each text."""
    differences = [int(after) - int(before) for before, after in zip(first, second, strict=True)]
    gained, lost = differences.count(1), differences.count(-1)
    return PairedComparison(bootstrap_mean(differences, images), gained, lost, mcnemar_p_value(gained, lost))


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Return the two-sided p-value of a binomial test that both counts are equally likely."""
    total, smaller = gained + lost, min(gained, lost)
    if total == 0:
        return 1.0
    tail = sum(exp(_log_choose(total, count) - total * log(2)) for count in range(smaller + 1))
    return min(1.0, 2 * tail)


def _log_choose(total: int, count: int) -> float:
    return lgamma(total + 1) - lgamma(count + 1) - lgamma(total - count + 1)
