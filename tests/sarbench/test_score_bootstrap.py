"""Bootstrap confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.score.bootstrap import bootstrap_mean


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), min_size=1, max_size=60))
def test_the_interval_contains_the_mean(values: list[tuple[bool, str]]) -> None:
    """The interval contains the mean, is within 0 and 1, and is reproducible."""
    right, images = [value for value, _ in values], [image for _, image in values]
    interval = bootstrap_mean(right, images)
    assert interval == bootstrap_mean(right, images)
    assert interval.mean == pytest.approx(sum(right) / len(right))
    assert 0 <= interval.low <= interval.high <= 1


def test_the_interval_width_matches_theory() -> None:
    """The width matches the normal approximation for independent images; ten equal texts each make it √10 larger."""
    rng = np.random.default_rng(1)
    right = rng.random(2000) < 0.7
    apart = bootstrap_mean(right.tolist(), [str(image) for image in range(2000)])
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 2000) ** 0.5, rel=0.1)
    together = bootstrap_mean(np.repeat(right[:200], 10).tolist(), [str(image // 10) for image in range(2000)])
    assert together.high - together.low == pytest.approx((apart.high - apart.low) * 10**0.5, rel=0.2)
