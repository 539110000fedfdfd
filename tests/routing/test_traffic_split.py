"""The traffic split between groups of workers."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sarlens.routing.traffic_split import TrafficSplit

shares = st.dictionaries(st.floats(0.01, 100), st.floats(0.01, 1000), min_size=2, max_size=5)


@given(shares=shares, seed=st.integers(0, 99))
def test_each_group_stays_within_its_share(shares: dict[float, float], seed: int) -> None:
    """After any number of requests, each of up to five groups is less than four requests away from its share."""
    split, chosen = TrafficSplit(random.Random(seed)), Counter[float]()
    total = sum(shares.values())
    for number in range(1, 300):
        chosen[split.choose(shares)[0]] += 1
        assert all(abs(chosen[group] - number * share / total) < 4 for group, share in shares.items())


@given(shares=shares, seed=st.integers(0, 99))
def test_a_preference_moves_the_shares_by_a_constant(shares: dict[float, float], seed: int) -> None:
    """If all requests prefer one group, the shares of all groups still differ by less than eight requests."""
    split, chosen = TrafficSplit(random.Random(seed)), Counter[float]()
    total, preferred = sum(shares.values()), min(shares)
    for number in range(1, 300):
        chosen[split.choose(shares, preferred)[0]] += 1
        assert all(abs(chosen[group] - number * share / total) < 8 for group, share in shares.items())


def test_a_group_that_was_away_makes_up_for_nothing() -> None:
    """A group of weight 0.5 that was away for a thousand requests gets 33 of the next hundred, as any other third."""
    split = TrafficSplit(random.Random(1))
    for _ in range(100):
        split.choose({1.0: 1.0, 0.5: 0.5})
    for _ in range(1000):
        split.choose({1.0: 1.0})
    later = Counter(split.choose({1.0: 1.0, 0.5: 0.5})[0] for _ in range(99))
    assert 32 <= later[0.5] <= 34


def test_new_gateways_start_at_any_phase() -> None:
    """Of 4,000 gateways that just started, 9.1 % send their first request to the group with a share of 1 in 11."""
    first = Counter(TrafficSplit(random.Random(seed)).choose({1.0: 1.0, 0.1: 0.1})[0] for seed in range(4000))
    assert 0.08 <= first[0.1] / 4000 <= 0.105
