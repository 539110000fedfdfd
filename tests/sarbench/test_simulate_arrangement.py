"""Classification of arrangements."""

from __future__ import annotations

import pytest

from sarbench.simulate.arrangement import classify_arrangement


@pytest.mark.parametrize(
    ("points", "arrangement"),
    [
        ([(0.1, 0.1), (0.3, 0.3), (0.5, 0.5), (0.7, 0.7)], "In a row"),
        ([(0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)], "Scattered"),
        ([(0.1, 0.1), (0.2, 0.1), (0.1, 0.2), (0.2, 0.2)], "Clustered"),
        ([(0.1, 0.1), (0.9, 0.9), (0.5, 0.2)], None),
    ],
)
def test_arrangements_are_classified(points: list[tuple[float, float]], arrangement: str | None) -> None:
    """Rows, clusters, and scattered objects are distinguished, and three objects have no arrangement."""
    assert classify_arrangement(points) == arrangement
