"""Totals of objects, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Any

_NORMAL_QUANTILE = 1.96
"""Standard deviations of the normal distribution that hold 95 %."""
_UNKNOWN_SCORE = 0.5


@dataclass(slots=True)
class ObjectTotal:
    """Number of confirmed objects, and what its interval needs."""

    objects: int = 0
    expected: float = 0.0
    variance: float = 0.0
    unlocated: int = 0
    """Objects that the model counts in tiles, beyond those that are located there."""
    unconfirmed: int = 0
    """Targets of the detector in tiles, beyond the objects that the model confirms there."""

    def add(self, score: float | None) -> None:
        """Count one confirmed object. Its score is the probability that it exists."""
        probability = _UNKNOWN_SCORE if score is None else score
        self.objects += 1
        self.expected += probability
        self.variance += probability * (1 - probability)

    @property
    def interval(self) -> tuple[int, int]:
        """Lowest and highest number of objects.

        The number of objects that exist is a sum of independent yes-or-no variables with the probabilities p of the
        objects, a Poisson binomial distribution with mean Σp and variance Σp(1 - p). The lower end is
        Σp - 1.96 √Σp(1 - p), rounded down. The upper end adds the objects that weren't located to all located ones.
        """
        low = floor(self.expected - _NORMAL_QUANTILE * sqrt(self.variance) + 1e-9)
        return min(max(0, low), self.objects), self.objects + self.unlocated

    def as_dict(self) -> dict[str, Any]:
        """Return the total as JSON."""
        return {
            "objects": self.objects,
            "expected": round(self.expected, 1),
            "interval": list(self.interval),
            "unlocated": self.unlocated,
            "unconfirmed": self.unconfirmed,
        }


def located_beyond(value: Any, located: int | None) -> int:
    """Return the number of objects that an answer about a tile states beyond ``located`` ones."""
    if located is None or value is None:
        return 0
    stated = int(value) if isinstance(value, (bool, int)) else 1
    return max(0, ceil(stated) - located)
