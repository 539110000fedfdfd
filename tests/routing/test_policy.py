"""Routing policies."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.routing.policy import Candidate, affinity, power_of_two, rendezvous_score

candidates = st.builds(
    Candidate, name=st.text(max_size=8), load=st.floats(0, 1e6), cost=st.floats(1, 100), has_image=st.booleans()
)


def delay(worker: Candidate) -> float:
    """Return what a request costs at a worker: its wait, and its images for itself and all requests there."""
    return worker.load + 1 + (worker.cost - 1) * (1 + worker.load)


@given(workers=st.lists(candidates, min_size=2, max_size=9), image_key=st.text(), bound=st.floats(1, 3))
def test_the_first_choice_stays_within_the_load_bound(workers: list[Candidate], image_key: str, bound: float) -> None:
    """The first choice stays within ``bound`` times the mean load, unless all workers within cost more than waiting.

    Then no worker costs less than the first choice, and it holds the image if any worker does.
    """
    scores = [rendezvous_score(worker, image_key) for worker in workers]
    first = workers[affinity(workers, scores, bound)[0]]
    load = sum(worker.load for worker in workers)
    wait = min((delay(worker) for worker in workers if worker.has_image), default=math.inf)

    def within(worker: Candidate) -> bool:
        return (worker.load + worker.cost) * len(workers) <= bound * (load + worker.cost)

    if any(within(worker) and (worker.has_image or delay(worker) < 0.999 * wait) for worker in workers):
        assert within(first)
        assert first.has_image or delay(first) < 1.001 * wait
    else:
        assert delay(first) <= 1.001 * min(delay(worker) for worker in workers)


@pytest.mark.parametrize(
    ("busy", "idle", "leaves"), [(6.4, 0, False), (6.6, 0, True), (13.9, 1, False), (14.1, 1, True)]
)
def test_a_request_leaves_its_image_if_waiting_costs_more(busy: float, idle: float, leaves: bool) -> None:
    """An image that costs 6.5 requests is worth a wait for 6.5, and for 14 if it delays a request elsewhere."""
    workers = [Candidate("holds", load=busy, has_image=True), Candidate("other", load=idle, cost=7.5)]
    assert affinity(workers, [0.0, 1.0], 1.25)[0] == leaves


def test_an_image_moves_to_a_worker_where_it_costs_less_than_waiting() -> None:
    """A busy worker with the image precedes one that is within the load bound, and too busy to take the image."""
    workers = [
        Candidate("holds", load=20, has_image=True),
        Candidate("best score", load=5, cost=7.5),
        Candidate("idle", load=0, cost=7.5),
        Candidate("idle too", load=0.5, cost=7.5),
    ]
    assert affinity(workers, [0.0, 3.0, 1.0, 2.0], 1.25) == [3, 2, 0, 1]


def test_power_of_two_prefers_the_less_loaded() -> None:
    """Power of two never ranks the most loaded of three workers first, and equal workers take turns."""
    rng = random.Random(3)
    workers = [Candidate("a", load=9), Candidate("b"), Candidate("c", load=1)]
    assert 0 not in {power_of_two(workers, turn, rng)[0] for turn in range(50)}
    idle = [Candidate("a"), Candidate("b"), Candidate("c")]
    assert [power_of_two(idle, turn, rng)[0] for turn in range(6)] == [0, 1, 2, 0, 1, 2]
