"""Routing policies."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sarlens.routing import policy
from sarlens.routing.candidates import VECTORS_FROM, Fleet, hash64
from sarlens.routing.policy import affinity, least_load, power_of_two, weighted_score


class Columns(NamedTuple):
    """The arguments of ``affinity``."""

    loads: NDArray[np.float64]
    costs: NDArray[np.float64]
    scores: NDArray[np.uint64]
    holders: list[int]

    def delays(self) -> list[float]:
        """Return what a request costs at each worker: its wait, and its images for itself and all requests there."""
        costs = zip(self.loads.tolist(), self.costs.tolist(), strict=True)
        return [load + 1 + (cost - 1) * (1 + load) for load, cost in costs]


@st.composite
def columns(draw: st.DrawFn, min_size: int = 2, max_size: int = 40) -> Columns:
    """Draw the columns of a fleet; few different loads and costs, so that workers are often equal."""
    count = draw(st.integers(min_size, max_size))
    load = st.sampled_from([0.0, 0.5, 1.0, 2.0, 20.0]) | st.floats(0, 1e6)
    cost = st.sampled_from([1.0, 7.5, 8.0]) | st.floats(1, 100)
    row = st.tuples(load, cost, st.integers(0, 2**64 - 1))
    loads, costs, scores = zip(*draw(st.lists(row, min_size=count, max_size=count)), strict=True)
    holders = draw(st.lists(st.integers(0, count - 1), max_size=4, unique=True))
    return Columns(np.array(loads), np.array(costs), np.array(scores, dtype=np.uint64), holders)


@given(fleet=columns(), bound=st.floats(1, 3))
def test_the_first_choice_stays_within_the_load_bound(fleet: Columns, bound: float) -> None:
    """The first choice stays within ``bound`` times the mean load, unless all workers within cost more than waiting.

    Then no worker costs less than the first choice, and it holds the image if any worker does.
    """
    first = next(affinity(*fleet, bound))
    load, delays = sum(fleet.loads.tolist()), fleet.delays()
    wait = min((delays[i] for i in fleet.holders), default=math.inf)

    def within(i: int, tolerance: float = 1.0) -> bool:
        own, cost = float(fleet.loads[i]), float(fleet.costs[i])
        return bool((own + cost) * len(fleet.loads) <= tolerance * bound * (load + cost))

    if any(within(i, 0.999) and (i in fleet.holders or delay < 0.999 * wait) for i, delay in enumerate(delays)):
        assert within(first, 1.001)
        assert first in fleet.holders or delays[first] < 1.001 * wait
    elif not any(within(i, 1.001) for i in range(len(delays))):
        assert delays[first] <= 1.001 * min(delays)


@given(fleet=columns(), bound=st.floats(1, 3))
def test_few_and_many_workers_have_the_same_order(fleet: Columns, bound: float) -> None:
    """Loops over Python numbers and NumPy rank 2 to 40 workers in the same order, the first one included."""
    loads, costs, scores, holders = fleet
    total = float(loads.sum())
    few = list(policy._affinity_of_few(loads.tolist(), costs.tolist(), scores.tolist(), total, holders, bound))
    assert list(policy._affinity_of_many(loads, costs, scores, total, holders, bound)) == few
    assert sorted(few) == list(range(len(loads)))


@given(loads=st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=2, max_size=40), turn=st.integers(0, 10**6))
def test_few_and_many_loads_have_the_same_order(loads: list[float], turn: int) -> None:
    """Both ways to rank by load give the same order: by load, and equal workers from the one whose turn it is."""
    count = len(loads)
    expected = sorted(range(count), key=lambda i: (loads[i], (i - turn) % count))
    assert list(policy._least_load_of_many(np.array(loads), turn % count)) == expected
    assert list(least_load(np.array(loads), turn)) == expected


@given(key=st.text(), count=st.integers(1, 40))
def test_few_and_many_workers_have_the_same_scores(key: str, count: int) -> None:
    """A worker's score doesn't depend on the number of workers, so that it keeps its images if the fleet grows."""
    names = [f"http://gpu-{i}:8000" for i in range(max(count, VECTORS_FROM))]
    assert Fleet(names[:count]).scores(key).tolist() == Fleet(names).scores(key).tolist()[:count]


def test_scores_are_those_of_splitmix() -> None:
    """A score is the finalizer of SplitMix64 of both hashes; its first output of the seed 0 is 0xE220A8397B1DCDAF."""
    seed = 0x9E3779B97F4A7C15
    name = next(f"worker-{i}" for i in range(1))
    fleet = Fleet([name])
    fleet._hashes[:] = seed ^ hash64("image")
    assert int(fleet.scores("image")[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("count", [3, 60])
def test_images_spread_evenly(count: int) -> None:
    """Of 30,000 images, each worker is the first choice for its share, within 5 standard deviations."""
    fleet = Fleet([f"http://gpu-{i}:8000" for i in range(count)])
    firsts = Counter(int(fleet.scores(f"image {number}").argmax()) for number in range(30_000))
    expected = 30_000 / count
    assert max(abs(firsts[i] - expected) for i in range(count)) < 5 * math.sqrt(expected)


def test_weights_are_shares() -> None:
    """Of 40,000 images, a worker of weight 0.3 wins 23.1 % against one of weight 1, by the weighted score."""
    fleet = Fleet(["a", "b"])
    wins = 0
    for number in range(40_000):
        light, heavy = fleet.scores(f"image {number}").tolist()
        wins += weighted_score(light, 0.3) > weighted_score(heavy, 1.0)
    assert wins / 40_000 == pytest.approx(0.3 / 1.3, abs=0.01)


@given(scores=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2), weight=st.floats(0.01, 100))
def test_weighted_scores_have_the_order_of_the_hashes(scores: list[int], weight: float) -> None:
    """Scores of equal weight are positive and finite and have the order of the hashes, at both ends too."""
    low, high = sorted(scores)
    assert 0 < weighted_score(low, weight) <= weighted_score(high, weight) < math.inf
    assert weighted_score(0, weight) < weighted_score(2**64 - 1, weight) < math.inf


@pytest.mark.parametrize(
    ("busy", "idle", "leaves"), [(6.4, 0, False), (6.6, 0, True), (13.9, 1, False), (14.1, 1, True)]
)
def test_a_request_leaves_its_image_if_waiting_costs_more(busy: float, idle: float, leaves: bool) -> None:
    """An image that costs 6.5 requests is worth a wait for 6.5, and for 14 if it delays a request elsewhere."""
    loads, costs, scores = np.array([busy, idle]), np.array([1.0, 7.5]), np.array([0, 1], dtype=np.uint64)
    assert next(affinity(loads, costs, scores, [0], 1.25)) == leaves


def test_an_image_moves_to_a_worker_where_it_costs_less_than_waiting() -> None:
    """A busy worker with the image precedes one that is within the load bound, and too busy to take the image."""
    loads, costs = np.array([20, 5, 0, 0.5]), np.array([1.0, 7.5, 7.5, 7.5])
    scores = np.array([0, 3, 1, 2], dtype=np.uint64)
    assert list(affinity(loads, costs, scores, [0], 1.25)) == [3, 2, 0, 1]


@pytest.mark.parametrize("count", [3, VECTORS_FROM])
def test_power_of_two_prefers_the_less_loaded(count: int) -> None:
    """Power of two never ranks the most loaded worker first, and equal workers take turns."""
    rng = random.Random(3)
    loads = np.array([9.0] + [0.0] * (count - 2) + [1.0])
    assert 0 not in {next(power_of_two(loads, turn, rng)) for turn in range(50)}
    idle = np.zeros(count)
    assert [next(power_of_two(idle, turn, rng)) for turn in range(2 * count)] == [*range(count), *range(count)]
