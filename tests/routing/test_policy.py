"""Orderings of workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.routing.policy import Candidate, Policy, Router, affinity

POLICIES: tuple[Policy, ...] = ("affinity", "least_load", "round_robin", "power_of_two")
candidates = st.builds(
    Candidate,
    name=st.text(max_size=8),
    load=st.floats(0, 1e6),
    cost=st.floats(1, 100),
    share=st.floats(0.01, 100),
    holds=st.booleans(),
    tripped=st.booleans(),
)


def fleet(number: int) -> list[Candidate]:
    """Idle workers of equal share."""
    return [Candidate(f"http://gpu-{i}:8000") for i in range(number)]


@pytest.mark.parametrize("policy", POLICIES)
@given(workers=st.lists(candidates, min_size=1, max_size=9), picture=st.none() | st.text())
def test_every_worker_is_ranked_once(policy: Policy, workers: list[Candidate], picture: str | None) -> None:
    """Whatever the fleet is like, an ordering names each worker once, those with an open breaker last."""
    order = Router(policy, bound=1.25, seed=1).rank(workers, picture)
    assert sorted(order) == list(range(len(workers)))
    tripped = [workers[i].tripped for i in order]
    assert len(workers) == 1 or tripped == sorted(tripped)


@given(workers=st.lists(candidates, min_size=2, max_size=9), picture=st.text(), bound=st.floats(1, 3))
def test_nobody_is_loaded_beyond_the_bound_while_another_is_below(
    workers: list[Candidate], picture: str, bound: float
) -> None:
    """The first choice stays within ``bound`` times the mean, unless nobody does; then it is the least loaded."""
    first = workers[affinity(workers, picture, bound)[0]]
    alive = [worker for worker in workers if not worker.tripped] or workers
    mean = sum(worker.load for worker in alive) / sum(worker.share for worker in alive)

    def within(worker: Candidate) -> bool:
        total = mean + worker.cost / sum(other.share for other in alive)
        return (worker.load + worker.cost) / worker.share <= bound * total * (1 + 1e-9)

    if any(within(worker) for worker in workers):
        assert within(first)
    else:
        assert first.load / first.share == min(worker.load / worker.share for worker in workers)


def test_a_picture_stays_where_it_is() -> None:
    """Equal asks go to one worker, and a worker that already has the picture goes before the one that hashing names."""
    workers = fleet(8)
    home = affinity(workers, "a picture", 1.25)[0]
    assert affinity(workers, "a picture", 1.25)[0] == home
    holder = (home + 3) % 8
    workers[holder] = Candidate(workers[holder].name, holds=True)
    assert affinity(workers, "a picture", 1.25)[0] == holder


@pytest.mark.parametrize("number", [2, 5, 8, 16])
def test_a_worker_more_or_less_moves_its_own_pictures_only(number: int) -> None:
    """When a worker joins or leaves, the pictures that move are its own: 1/N of all, and never more than 5 % beyond."""
    pictures = [f"picture {i}" for i in range(4000)]
    before = [affinity(fleet(number), picture, 1.25)[0] for picture in pictures]
    after = [affinity(fleet(number + 1), picture, 1.25)[0] for picture in pictures]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {number}
    assert len(moved) / len(pictures) <= 1 / (number + 1) + 0.05


def test_shares_are_kept() -> None:
    """A canary with a tenth of the weight gets a tenth of the pictures."""
    workers = [*fleet(1), Candidate("http://canary:8000", share=1 / 9)]
    homes = Counter(affinity(workers, f"picture {i}", 100.0)[0] for i in range(10_000))
    assert homes[1] / 10_000 == pytest.approx(0.1, abs=0.02)


def test_text_goes_to_the_least_loaded_in_turns() -> None:
    """Requests without pictures go by load under affinity, and equals take turns."""
    router = Router("affinity", bound=1.25)
    assert {router.rank(fleet(4), None)[0] for _ in range(4)} == {0, 1, 2, 3}
    busy = [Candidate("a", load=3), Candidate("b", load=1), Candidate("c", load=2)]
    assert router.rank(busy, None) == [1, 2, 0]


def test_two_choices_take_the_less_loaded() -> None:
    """Power of two never begins with the most loaded worker of three."""
    router = Router("power_of_two", bound=1.25, seed=3)
    workers = [Candidate("a", load=9), Candidate("b"), Candidate("c", load=1)]
    assert 0 not in {router.rank(workers, "p")[0] for _ in range(50)}
