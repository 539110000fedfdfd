"""The router: shares of the traffic by weight, and the ranking within a group of equal weight."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.routing.candidates import Candidates, Fleet
from sarlens.routing.policy import Policy
from sarlens.routing.router import Router

POLICIES: tuple[Policy, ...] = ("affinity", "least_load", "round_robin", "power_of_two")
CANARY = "http://canary:8000"


class Worker(NamedTuple):
    """A worker as the router sees it."""

    name: str
    load: float = 0.0
    cost: float = 1.0
    weight: float = 1.0
    has_image: bool = False
    breaker_open: bool = False


workers_of_any_kind = st.builds(
    Worker,
    name=st.text(max_size=8),
    load=st.floats(0, 1e6),
    cost=st.floats(1, 100),
    weight=st.floats(0.01, 100),
    has_image=st.booleans(),
    breaker_open=st.booleans(),
)


def fleet(count: int, canary: float | None = None) -> list[Worker]:
    """Return idle workers of weight 1, and a canary if its weight is given."""
    workers = [Worker(f"http://gpu-{i}:8000") for i in range(count)]
    return workers if canary is None else [*workers, Worker(CANARY, weight=canary)]


def rank(router: Router, workers: list[Worker], image_key: str | None, model: str = "m") -> list[int]:
    """Return the order of workers, with their columns as the gateway passes them to the router."""
    names, loads, costs, weights, holds, failing = zip(*workers, strict=True)
    candidates = Candidates(
        Fleet(names, weights),
        np.array(loads),
        np.array(costs) if image_key is not None else None,
        [i for i, has_image in enumerate(holds) if has_image],
        [i for i, is_open in enumerate(failing) if is_open],
    )
    return list(router.rank(candidates, image_key, model))


class Traffic:
    """Requests through one router to workers that finish them in order, ``in_flight`` at a time."""

    def __init__(self, policy: Policy, in_flight: int) -> None:
        self.sent: Counter[str] = Counter()
        self._router = Router(policy, load_bound=1.25, seed=7)
        self._in_flight = in_flight
        self._running: deque[str] = deque()

    def send(self, workers: list[Worker], image_key: str | None, model: str = "m") -> str:
        """Send a request; return the name of its worker."""
        while len(self._running) >= self._in_flight:
            self._running.popleft()
        loads = Counter(self._running)
        loaded = [worker._replace(load=float(loads[worker.name])) for worker in workers]
        name = loaded[rank(self._router, loaded, image_key, model)[0]].name
        self.sent[name] += 1
        self._running.append(name)
        return name

    def share(self, name: str) -> float:
        """Return the percentage of the requests that a worker got."""
        return 100 * self.sent[name] / self.sent.total()


IMAGES: dict[str, Callable[[int], str | None]] = {
    "text": lambda _: None,
    "new images": lambda number: f"image {number}",
    "twenty images": lambda number: f"image {random.Random(number).randrange(20)}",
    "one image": lambda _: "image",
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("in_flight", [1, 3, 21, 200])
@pytest.mark.parametrize("images", IMAGES)
def test_canary_shares_hold(policy: Policy, in_flight: int, images: str) -> None:
    """Of 2,000 requests to two workers and a canary of weight 0.1, the canary gets 4.8 %, within half a point."""
    traffic = Traffic(policy, in_flight)
    workers = fleet(2, canary=0.1)
    for number in range(2000):
        traffic.send(workers, IMAGES[images](number))
    assert traffic.share(CANARY) == pytest.approx(4.76, abs=0.5)
    if images == "text":
        assert traffic.share(workers[0].name) == pytest.approx(47.6, abs=0.5)


@pytest.mark.parametrize("policy", POLICIES)
def test_shares_hold_while_workers_join_and_leave(policy: Policy) -> None:
    """A canary that is away for 200 of 2,000 requests gets its share of the others, while a worker comes and goes."""
    traffic, expected = Traffic(policy, 5), 0.0
    for number in range(2000):
        workers = fleet(2 + number // 7 % 2, canary=0.1)
        if 900 <= number < 1100:
            workers.pop()
        else:
            expected += 0.1 / sum(worker.weight for worker in workers)
        traffic.send(workers, None)
    assert traffic.sent[CANARY] == pytest.approx(expected, abs=4)


@pytest.mark.parametrize("policy", POLICIES)
def test_models_and_kinds_of_requests_have_shares_of_their_own(policy: Policy) -> None:
    """If requests of two models and requests with and without images alternate, each kind has the canary's 9.1 %."""
    traffic, to_canary = Traffic(policy, 1), Counter[tuple[str, bool]]()
    workers = fleet(1, canary=0.1)
    for number in range(4000):
        model, with_image = "ab"[number % 2], number % 4 < 2
        if traffic.send(workers, f"image {number}" if with_image else None, model) == CANARY:
            to_canary[model, with_image] += 1
    assert [round(count / 10, 1) for count in to_canary.values()] == pytest.approx([9.1] * 4, abs=0.5)


def test_a_slow_canary_keeps_its_share() -> None:
    """A canary that never finishes a request still gets 4.8 % of the traffic, until its circuit breaker opens."""
    router, workers = Router("least_load", load_bound=1.25, seed=1), fleet(2, canary=0.1)
    firsts = Counter(
        rank(router, [*workers[:2], workers[2]._replace(load=float(number))], None)[0] for number in range(2000)
    )
    assert firsts[2] / 20 == pytest.approx(4.76, abs=0.1)
    workers[2] = workers[2]._replace(breaker_open=True)
    assert {rank(router, workers, None)[-1] for _ in range(100)} == {2}


def test_images_stay_in_their_group() -> None:
    """Of 400 requests about 40 images, at most 10 % go elsewhere than to the first worker of their image."""
    traffic, homes, moved = Traffic("affinity", 1), dict[str, str](), 0
    for number in range(400):
        image = f"image {number % 40}"
        name = traffic.send(fleet(3, canary=0.3), image)
        moved += homes.setdefault(image, name) != name
    assert moved <= 40


@pytest.mark.parametrize("policy", POLICIES)
@given(workers=st.lists(workers_of_any_kind, min_size=1, max_size=40), image_key=st.none() | st.text())
def test_every_worker_is_ranked_once(policy: Policy, workers: list[Worker], image_key: str | None) -> None:
    """Any policy ranks each worker of any fleet exactly once, workers with an open breaker last."""
    order = rank(Router(policy, load_bound=1.25, seed=1), workers, image_key)
    assert sorted(order) == list(range(len(workers)))
    breakers = [workers[i].breaker_open for i in order]
    assert len(workers) == 1 or breakers == sorted(breakers)


@pytest.mark.parametrize("count", [8, 40])
def test_a_worker_that_holds_the_image_comes_first(count: int) -> None:
    """Equal requests go to the same worker, and a worker that holds the image precedes the one with the best score."""
    workers, router = fleet(count), Router("affinity", load_bound=1.25)
    best = rank(router, workers, "an image")[0]
    assert rank(router, workers, "an image")[0] == best
    holder = (best + 3) % count
    workers[holder] = Worker(workers[holder].name, has_image=True)
    assert rank(router, workers, "an image")[0] == holder


@pytest.mark.parametrize("count", [8, 40])
def test_gateways_agree_on_the_worker_of_an_image(count: int) -> None:
    """Two gateways that never talk send each of 200 images to the same one of 8 or 40 workers."""
    first, second = (Router("affinity", load_bound=1.25, seed=seed) for seed in (1, 2))
    images = [f"image {i}" for i in range(200)]
    for image in images:
        assert rank(first, fleet(count), image)[0] == rank(second, fleet(count), image)[0]


@pytest.mark.parametrize("count", [2, 8, 15, 16, 50])
def test_a_new_worker_moves_only_its_own_images(count: int) -> None:
    """A worker that joins takes 1/N of the images, within 2 %, and all other images stay, from 15 to 16 workers too."""
    images, router = [f"image {i}" for i in range(2000)], Router("affinity", load_bound=1.25)
    before = [rank(router, fleet(count), image)[0] for image in images]
    after = [rank(router, fleet(count + 1), image)[0] for image in images]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {count}
    assert len(moved) / len(images) == pytest.approx(1 / (count + 1), abs=0.02)


def test_requests_without_images_go_to_the_least_loaded() -> None:
    """The affinity policy ranks requests without images by load, and equal workers take turns."""
    router = Router("affinity", load_bound=1.25)
    assert {rank(router, fleet(4), None)[0] for _ in range(4)} == {0, 1, 2, 3}
    busy = [Worker("a", load=3), Worker("b", load=1), Worker("c", load=2)]
    assert rank(router, busy, None) == [1, 2, 0]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_policy_of_a_request_depends_on_its_images(policy: Policy) -> None:
    """Requests about images are ranked by the router's policy; with affinity, all others by load."""
    router = Router(policy, load_bound=1.25)
    assert router.policy_for("image") == policy
    assert router.policy_for(None) == ("least_load" if policy == "affinity" else policy)
