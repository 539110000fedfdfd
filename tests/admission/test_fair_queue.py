"""The fair queue, by simulations on a virtual clock: shares, waits and order of API keys."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarlens.admission.concurrency import ConcurrencyLimiter
from sarlens.errors import DeadlineExceeded, Overloaded, QuotaExceeded
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import CallerPolicy, Share
from support.virtual_clock import VirtualClockLoop, simulate


def caller(name: str, weight: float = 1.0, *, priority: int = 0, **limits: int) -> CallerPolicy:
    """Return the policy of an API key."""
    return CallerPolicy(name, priority, share=Share(name, weight, **limits))


@dataclass
class Gateway:
    """A limiter, the requests that it runs, and what became of each request."""

    slots: int
    max_queued: int = 1024
    max_pixels: int = 1000
    queue_timeout_s: float = 1e6
    running: Counter[str] = field(default_factory=Counter)
    pixels: int = 0
    started: list[tuple[str, float]] = field(default_factory=list)
    """Key of each admitted request, and the virtual time of its admission."""

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.limiter = ConcurrencyLimiter(
            max_concurrency=lambda: self.slots,
            max_pixels=self.max_pixels,
            max_queued=self.max_queued,
            queue_timeout_s=self.queue_timeout_s,
            metrics=self.metrics,
        )

    async def run(self, policy: CallerPolicy, seconds: float = 1.0, pixels: int = 0, cost: int = 1) -> float:
        """Run a request of this duration; return the seconds from its arrival to its end."""
        loop, name, share = asyncio.get_running_loop(), policy.share.name, policy.share
        arrived_at = loop.time()
        flow = await self.limiter.acquire(policy, pixels, cost)
        try:
            self.started.append((name, loop.time()))
            self.running[name] += 1
            self.pixels += pixels
            assert self.running.total() <= self.slots
            assert share.max_parallel is None or self.running[name] <= share.max_parallel
            assert self.pixels <= self.max_pixels or self.running.total() == 1
            await asyncio.sleep(seconds)
        finally:
            self.running[name] -= 1
            self.pixels -= pixels
            self.limiter.release(flow, pixels, seconds)
        return loop.time() - arrived_at

    async def keep_asking(self, policy: CallerPolicy, seconds: float, pixels: int = 0, cost: int = 1) -> None:
        """Run one request after another."""
        while True:
            await self.run(policy, seconds, pixels, cost)

    def rejections(self) -> dict[str, float]:
        """Return the number of rejected requests by reason."""
        (family,) = self.metrics.rejections.collect()
        return {
            sample.labels["reason"]: sample.value
            for sample in family.samples
            if sample.name.endswith("_total") and sample.value
        }


async def start(
    gateway: Gateway, policy: CallerPolicy, requests: int, seconds: float = 1.0
) -> list[asyncio.Task[float]]:
    """Start requests and let them reach the queue."""
    tasks = [asyncio.create_task(gateway.run(policy, seconds)) for _ in range(requests)]
    await asyncio.sleep(0)
    return tasks


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0]), min_size=2, max_size=4),
    st.integers(1, 8),
    st.lists(st.sampled_from([1, 1, 2, 5]), min_size=4, max_size=4),
)
@pytest.mark.slow
def test_shares_follow_the_weights(weights: list[float], slots: int, costs: list[int]) -> None:
    """Keys that always wait get capacity by their weights, within 2 %; a request counts by its cost."""

    async def serve() -> Counter[str]:
        gateway = Gateway(slots)
        for index, weight in enumerate(weights):
            policy, cost = caller(str(index), weight), costs[index]
            for _ in range(2 * slots + 1):
                asyncio.create_task(gateway.keep_asking(policy, 1.0, cost=cost))  # noqa: RUF006  the loop's end cancels it
        await asyncio.sleep(1500 // slots)
        return Counter(name for name, _ in gateway.started)

    served = simulate(serve())
    cost_by_weight = [served[str(index)] * costs[index] / weight for index, weight in enumerate(weights)]
    # A request is whole, so two keys differ by up to the largest request of each.
    tolerance = 2 * max(cost / weight for cost, weight in zip(costs, weights, strict=False))
    assert max(cost_by_weight) - min(cost_by_weight) <= 0.02 * max(cost_by_weight) + tolerance


@pytest.mark.parametrize("requests", [1, 3, 6])
def test_a_small_key_does_not_wait_for_the_queue_of_a_greedy_one(requests: int) -> None:
    """While 320 requests of 1 s are queued, one to three of another key take at most 2 s, and six at most 3 s."""

    async def serve() -> tuple[float, list[tuple[str, float]]]:
        gateway = Gateway(slots=6)
        greedy = await start(gateway, caller("greedy"), 326)
        await asyncio.sleep(0.001)
        slowest_s = max(await asyncio.gather(*(gateway.run(caller("small")) for _ in range(requests))))
        await asyncio.gather(*greedy)
        return slowest_s, gateway.started

    slowest_s, started = simulate(serve())
    assert slowest_s <= (2.0 if requests <= 3 else 3.0)
    assert Counter(name for name, _ in started) == {"greedy": 326, "small": requests}
    # The greedy key loses only the slots that the small one took.
    assert max(at for _, at in started) == pytest.approx((326 + requests - 1) // 6, abs=0.01)


def test_a_small_key_is_next_at_every_arrival() -> None:
    """A key with one request at a time waits for one release: 1/20 s on average, of requests that take 1 s."""

    async def serve() -> list[float]:
        gateway = Gateway(slots=20)
        for _ in range(200):
            asyncio.create_task(gateway.keep_asking(caller("greedy"), 1.0))  # noqa: RUF006
            await asyncio.sleep(0.05)
        return [await gateway.run(caller("small")) for _ in range(100)]

    seconds = sorted(simulate(serve()))
    assert seconds[0] >= 1.0
    assert seconds[98] <= 1.06


def test_an_idle_key_neither_saves_up_nor_owes() -> None:
    """After an hour alone, a key gets half of the capacity once a second key arrives, neither less nor more."""

    async def serve() -> list[str]:
        gateway = Gateway(slots=1)
        early = asyncio.create_task(gateway.keep_asking(caller("early"), 1.0))
        await asyncio.sleep(3600)
        early.cancel()
        first = len(gateway.started)
        await asyncio.gather(*await start(gateway, caller("early"), 20), *await start(gateway, caller("late"), 20))
        return [name for name, _ in gateway.started[first:]]

    order = simulate(serve())
    assert all(Counter(order[:length])["early"] in range(length // 2 - 1, length // 2 + 2) for length in range(40))


def test_a_request_with_many_answers_uses_up_its_share() -> None:
    """After a request that counts 10, the other key runs 10 before the first key's next one."""

    async def serve() -> list[str]:
        gateway = Gateway(slots=1)
        blocker = asyncio.create_task(gateway.run(caller("other")))
        await asyncio.sleep(0)
        large = [asyncio.create_task(gateway.run(caller("large"), cost=10)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.gather(blocker, *large, *await start(gateway, caller("small"), 12))
        return [name for name, _ in gateway.started[1:]]

    assert simulate(serve()) == ["large", *["small"] * 10, "large", "small", "small"]


def test_a_large_image_is_not_overtaken_for_ever() -> None:
    """A request that needs all pixels runs after the few requests that were ahead of it in fair order."""

    async def serve() -> tuple[list[str], float]:
        gateway = Gateway(slots=10, max_pixels=1000)
        for index in range(8):
            policy = caller(f"small-{index % 4}")
            asyncio.create_task(gateway.keep_asking(policy, 1.0 + index / 10, pixels=100))  # noqa: RUF006
        await asyncio.sleep(5)
        before = len(gateway.started)
        large_s = await gateway.run(caller("large"), 1.0, pixels=1000)
        return [name for name, _ in gateway.started[before:]], large_s

    order, large_s = simulate(serve())
    assert order.index("large") <= 4
    assert large_s <= 1.7 + 1.7 + 1.0


def test_a_cancelled_large_image_lets_the_next_request_run() -> None:
    """When the first waiter leaves, the next one that fits runs at once, not at the next release."""

    async def serve() -> float:
        gateway = Gateway(slots=4, max_pixels=100)
        running = asyncio.create_task(gateway.run(caller("a"), 100.0, pixels=60))
        await asyncio.sleep(0)
        large = asyncio.create_task(gateway.run(caller("a"), 1.0, pixels=80))
        await asyncio.sleep(0)
        (small,) = await start(gateway, caller("a"), 1)
        await asyncio.sleep(2)
        large.cancel()
        seconds = await small
        running.cancel()
        return seconds

    assert simulate(serve()) == pytest.approx(3.0)


async def blocked_by_pixels(gateway: Gateway, *, before: int = 0) -> tuple[asyncio.Task[float], asyncio.Task[float]]:
    """Run a request of 60 pixels for 100 s after ``before`` others of its key, and queue one of 80 that doesn't fit."""
    for _ in range(before):
        await gateway.run(caller("a"))
    running = asyncio.create_task(gateway.run(caller("a"), 100.0, pixels=60))
    await asyncio.sleep(0)
    blocked = asyncio.create_task(gateway.run(caller("large"), 1.0, pixels=80))
    await asyncio.sleep(0)
    return running, blocked


def test_a_key_that_was_idle_does_not_overtake() -> None:
    """A request of a key that was idle for 20 requests runs after the large one that waits already."""

    async def serve() -> list[str]:
        gateway = Gateway(slots=4, max_pixels=100)
        for name in ("idle", "large", "large"):
            await gateway.run(caller(name))
        running, blocked = await blocked_by_pixels(gateway, before=20)
        await asyncio.gather(running, blocked, *await start(gateway, caller("idle"), 1))
        return [name for name, _ in gateway.started[-2:]]

    assert simulate(serve()) == ["large", "idle"]


def test_a_request_that_is_first_needs_no_place_in_the_queue() -> None:
    """With a free slot and a full queue, a request of higher priority runs at once, and no other one is rejected."""

    async def serve() -> tuple[float, dict[str, float]]:
        gateway = Gateway(slots=4, max_pixels=100, max_queued=1)
        running, blocked = await blocked_by_pixels(gateway)
        seconds = await gateway.run(caller("urgent", priority=-1))
        await asyncio.gather(running, blocked)
        return seconds, gateway.rejections()

    assert simulate(serve()) == (1.0, {})


def test_a_request_that_evicts_the_first_one_runs_at_once() -> None:
    """If the evicted request was the first and kept slots free, the new one runs without a wait."""

    async def serve() -> tuple[float, dict[str, float]]:
        gateway = Gateway(slots=4, max_pixels=100, max_queued=1)
        running, blocked = await blocked_by_pixels(gateway)
        seconds = await gateway.run(caller("heavy", 4.0))
        await asyncio.gather(running, blocked, return_exceptions=True)
        return seconds, gateway.rejections()

    assert simulate(serve()) == (1.0, {"fair_share": 1})


def test_a_request_evicted_at_its_time_out_is_rejected_once() -> None:
    """A request whose time-out passes in the moment of its eviction counts as evicted, and not as timed out too."""

    async def serve() -> dict[str, float]:
        gateway = Gateway(slots=1, max_queued=1, queue_timeout_s=5.0)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        (running,) = await start(gateway, caller("a"), 1, seconds=100.0)
        (batch,) = await start(gateway, caller("a", priority=1), 1)
        # Both are due in the next iteration of the loop: first the urgent request, then the time-out.
        urgent = asyncio.create_task(gateway.run(caller("urgent")))
        loop.advance(5.0)
        with pytest.raises(Overloaded):
            await batch
        running.cancel()
        await urgent
        return gateway.rejections()

    assert simulate(serve()) == {"outranked": 1}


def test_max_parallel_queues_a_key_and_blocks_no_other_key() -> None:
    """Of 10 requests of a key with ``max_parallel`` 2, two run at a time; another key uses the other slots at once."""

    async def serve() -> tuple[list[float], float]:
        gateway = Gateway(slots=4)
        limited = await start(gateway, caller("limited", max_parallel=2), 6)
        tiles = await start(gateway, caller("limited", max_parallel=2, priority=1), 4)
        free = await asyncio.gather(*(gateway.run(caller("free")) for _ in range(2)))
        assert set(free) == {1.0}
        await asyncio.gather(*limited, *tiles)
        return [at for name, at in gateway.started if name == "limited"], gateway.limiter._queue.queued

    assert simulate(serve()) == ([0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 0)


def test_the_cancelled_place_of_a_limited_key_goes_to_its_next_request() -> None:
    """With ``max_parallel`` 1, the third request runs when the first ends, although the second left the queue."""

    async def serve() -> float:
        gateway = Gateway(slots=2)
        policy = caller("limited", max_parallel=1)
        first, second, third = await start(gateway, policy, 3)
        second.cancel()
        await first
        assert second.cancelled()
        return await third

    assert simulate(serve()) == 2.0


def test_a_full_queue_always_has_a_place_for_a_small_key() -> None:
    """Each small key takes the place of the greedy key's newest waiter, until all queue equally many."""

    async def serve() -> None:
        gateway = Gateway(slots=1, max_queued=8)
        greedy = await start(gateway, caller("greedy"), 9)
        small = [task for index in range(3) for task in await start(gateway, caller(f"small-{index}"), 2)]
        await asyncio.sleep(0)
        rejected = [isinstance(task.exception(), Overloaded) if task.done() else False for task in greedy]
        assert rejected == [False] * 3 + [True] * 6
        assert not any(task.done() for task in small)
        with pytest.raises(Overloaded):
            await gateway.run(caller("greedy"))
        assert gateway.rejections() == {"fair_share": 6, "queue_full": 1}
        late = await start(gateway, caller("late"), 1)
        await asyncio.sleep(0)
        # The queue has two requests of each of four keys; the newest one of them makes room.
        assert [task.done() for task in small] == [False] * 5 + [True]
        await asyncio.gather(*greedy, *small, *late, return_exceptions=True)
        assert Counter(name for name, _ in gateway.started)["late"] == 1

    simulate(serve())


def test_a_key_that_would_queue_as_many_takes_no_place() -> None:
    """In a full queue of two requests of one key and one of another, the second request of the latter is rejected."""

    async def serve() -> dict[str, float]:
        gateway = Gateway(slots=1, max_queued=3)
        tasks = await start(gateway, caller("a"), 3)
        tasks += await start(gateway, caller("b"), 1)
        with pytest.raises(Overloaded):
            await gateway.run(caller("b"))
        await asyncio.gather(*tasks)
        return gateway.rejections()

    assert simulate(serve()) == {"queue_full": 1}


def test_a_weight_counts_in_a_full_queue() -> None:
    """Of a queue of 8, a key of weight 3 gets 6 places, and a key of weight 1 gets 2."""

    async def serve() -> Counter[str]:
        gateway = Gateway(slots=1, max_queued=8)
        tasks = await start(gateway, caller("light"), 9)
        tasks += await start(gateway, caller("heavy", 3.0), 9)
        await asyncio.gather(*tasks, return_exceptions=True)
        return Counter(name for name, _ in gateway.started[1:])

    assert simulate(serve()) == {"heavy": 6, "light": 2}


def test_a_lower_priority_loses_its_place_first() -> None:
    """A full queue rejects a waiter of lower priority, even of a small key, before one of the greedy key."""

    async def serve() -> dict[str, float]:
        gateway = Gateway(slots=1, max_queued=4)
        greedy = await start(gateway, caller("greedy"), 4)
        (batch,) = await start(gateway, caller("small", priority=5), 1)
        (late,) = await start(gateway, caller("late"), 1)
        with pytest.raises(Overloaded):
            await batch
        await asyncio.gather(*greedy, late)
        return gateway.rejections()

    assert simulate(serve()) == {"outranked": 1}


def test_a_key_has_a_bound_on_its_queue() -> None:
    """With ``max_parallel`` 1 and ``max_queued`` 2, the fourth request is 429, to retry after the key's own queue."""

    async def serve() -> None:
        gateway = Gateway(slots=8)
        policy = caller("limited", max_parallel=1, max_queued=2)
        await gateway.run(policy, 160.0)
        tasks = await start(gateway, policy, 3, seconds=10.0)
        with pytest.raises(QuotaExceeded, match=r"allows 2 queued requests\. Retry after 30 s") as rejected:
            await gateway.run(policy)
        # One request of 160 s makes a mean of 10 s: two queued requests and this one take 30 s, one after another.
        assert rejected.value.retry_after == 30
        assert await gateway.run(caller("free")) == 1.0
        assert gateway.rejections() == {"key_queue_full": 1}
        await asyncio.gather(*tasks)

    simulate(serve())


def test_retry_after_is_that_of_the_key() -> None:
    """In a queue of 40, the greedy key must wait for all of it, and a small key for its share."""

    async def serve() -> list[int | None]:
        gateway = Gateway(slots=1, max_queued=40)
        await gateway.run(caller("x"), 16.0)
        tasks = await start(gateway, caller("greedy"), 40)
        tasks += await start(gateway, caller("small", max_queued=1), 1)
        waits = []
        for policy in (caller("greedy"), caller("small", max_queued=1), caller("heavy", 4.0, max_queued=0)):
            with pytest.raises((Overloaded, QuotaExceeded)) as rejected:
                await gateway.run(policy)
            waits.append(rejected.value.retry_after)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return waits

    # Requests take 1 s on average. Greedy: 39 of its own, 1 of small. Small: 1 of its own and 2 x 1 of greedy.
    # Heavy, of weight 4: 1 x 2/4 of the others.
    assert simulate(serve()) == [41, 4, 2]


def test_a_new_weight_applies_to_queued_requests() -> None:
    """After a reload of the keys, the next arrival brings the new weight, also for requests that already wait."""

    async def serve() -> Counter[str]:
        gateway = Gateway(slots=1)
        tasks = await start(gateway, caller("a"), 40)
        tasks += await start(gateway, caller("b"), 40)
        await asyncio.sleep(5)
        tasks += await start(gateway, caller("b", 4.0), 1)
        first = len(gateway.started)
        await asyncio.sleep(25)
        names = Counter(name for name, _ in gateway.started[first:])
        await asyncio.gather(*tasks)
        return names

    assert simulate(serve()) == {"b": 20, "a": 5}


def test_more_workers_admit_waiters_at_the_next_arrival() -> None:
    """If the number of slots grows, the next arrival runs, and all waiters before it."""

    async def serve() -> list[float]:
        gateway = Gateway(slots=1)
        tasks = await start(gateway, caller("a"), 3, seconds=100.0)
        gateway.slots = 8
        await asyncio.sleep(1)
        return await asyncio.gather(gateway.run(caller("b"), 1.0), *tasks)

    assert simulate(serve()) == [1.0, 100.0, 101.0, 101.0]


@dataclass
class Step:
    """A request: the time before it, its key, and what it needs."""

    pause_s: float
    key: int
    priority: int
    seconds: float
    pixels: int
    cost: int
    cancel_after_s: float | None
    deadline_s: float | None


STEPS = st.lists(
    st.builds(
        Step,
        pause_s=st.sampled_from([0.0, 0.0, 0.5, 2.0]),
        key=st.integers(0, 3),
        priority=st.integers(0, 1),
        seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        pixels=st.sampled_from([0, 0, 40, 100, 300]),
        cost=st.sampled_from([1, 1, 7]),
        cancel_after_s=st.sampled_from([None, None, 0.0, 0.5, 1.0, 2.0]),
        deadline_s=st.sampled_from([None, None, 1.0]),
    ),
    max_size=40,
)
SHARES = (
    Share("0"),
    Share("1", 3.0, max_parallel=1),
    Share("2", 0.5, max_parallel=2, max_queued=2),
    Share("3", 1.0, max_queued=1),
)


async def ask(gateway: Gateway, step: Step, outcomes: Counter[str]) -> None:
    """Run the request of a step, and count its outcome."""
    deadline = None if step.deadline_s is None else time.time() + step.deadline_s
    policy = CallerPolicy(str(step.key), step.priority, deadline, share=SHARES[step.key])
    task = asyncio.create_task(gateway.run(policy, step.seconds, step.pixels, step.cost))
    if step.cancel_after_s is not None:
        asyncio.get_running_loop().call_later(step.cancel_after_s, task.cancel)
    try:
        await task
        outcomes["answered"] += 1
    except (Overloaded, QuotaExceeded, DeadlineExceeded):
        outcomes["rejected"] += 1
    except asyncio.CancelledError:
        outcomes["cancelled"] += 1


def assert_no_slot_is_idle(gateway: Gateway) -> None:
    """Check that no queued request could run."""
    first = gateway.limiter._queue.first()
    assert first is None or first.admitted.done() or not gateway.limiter._fits(first.pixels)
    for tenant in gateway.limiter._queue._tenants.values():
        ready = any(flow.ready_place for flow in tenant.flows)
        assert ready == (tenant.queued > 0 and tenant.running < tenant.max_parallel)


def assert_nothing_is_left(gateway: Gateway) -> None:
    """Check that no slot and no place in the queue is taken."""
    limiter, queue = gateway.limiter, gateway.limiter._queue
    assert (limiter._running, limiter._pixels, queue.queued, queue._ready, queue._backlog) == (0, 0, 0, [], [])
    assert not any(tenant.running or tenant.queued for tenant in queue._tenants.values())
    assert not any(level.queued or level.weight for level in queue._levels.values())


@given(STEPS, st.integers(1, 4), st.integers(0, 6))
def test_every_request_is_admitted_rejected_or_cancelled_once(steps: Sequence[Step], slots: int, queued: int) -> None:
    """For any arrivals, limits hold, every rejection is counted once, and at the end no slot and no place is taken.

    While requests wait, either the first one doesn't fit or every waiting key is at its ``max_parallel``.
    """

    async def serve() -> None:
        gateway = Gateway(slots, max_queued=queued, max_pixels=100, queue_timeout_s=4.0)
        outcomes: Counter[str] = Counter()
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(ask(gateway, step, outcomes))
                await asyncio.sleep(step.pause_s)
                assert_no_slot_is_idle(gateway)
        assert outcomes.total() == len(steps)
        assert sum(gateway.rejections().values()) == outcomes["rejected"]
        assert_nothing_is_left(gateway)

    simulate(serve())
