"""The concurrency limiter: slots, pixels, the queue, priorities and deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.admission.concurrency import ConcurrencyLimiter
from sarlens.errors import DeadlineExceeded, Overloaded
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import ANONYMOUS, CallerPolicy, Share


def make_limiter(
    slots: int = 1,
    max_pixels: int = 1000,
    max_queued: int = 2,
    queue_timeout_s: float = 5.0,
    metrics: Metrics | None = None,
) -> ConcurrencyLimiter:
    """Return a limiter with a small queue."""
    return ConcurrencyLimiter(
        max_concurrency=lambda: slots,
        max_pixels=max_pixels,
        max_queued=max_queued,
        queue_timeout_s=queue_timeout_s,
        metrics=metrics or Metrics(),
    )


@asynccontextmanager
async def admitted(
    limiter: ConcurrencyLimiter, policy: CallerPolicy = ANONYMOUS, pixels: int = 0, duration_s: float = 0.01
) -> AsyncIterator[None]:
    """Hold a slot; report ``duration_s`` as the duration of the request."""
    flow = await limiter.acquire(policy, pixels)
    try:
        yield
    finally:
        limiter.release(flow, pixels, duration_s)


async def run(
    limiter: ConcurrencyLimiter, policy: CallerPolicy = ANONYMOUS, pixels: int = 0, seconds: float = 0.0
) -> float:
    """Run a request; return the time of its admission."""
    async with admitted(limiter, policy, pixels):
        admitted_at = time.monotonic()
        await asyncio.sleep(seconds)
    return admitted_at


async def test_a_full_queue_rejects_at_once() -> None:
    """With one slot and a queue of two, the fourth concurrent request is rejected; the others run in order."""
    limiter = make_limiter()
    tasks = [asyncio.create_task(run(limiter, seconds=0.05)) for _ in range(3)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded) as rejected:
        await run(limiter)
    assert rejected.value.retry_after
    admitted_at = [await task for task in tasks]
    assert admitted_at == sorted(admitted_at)


@pytest.mark.parametrize(("duration_s", "retry_after"), [(16.0, 3), (160.0, 30), (16_000.0, 60), (0.0, 1)])
async def test_retry_after_follows_from_the_queue_and_the_mean_duration(duration_s: float, retry_after: int) -> None:
    """``retry_after`` is (queued + 1) x mean duration / slots, rounded up to seconds, from 1 to 60.

    The mean is a moving average with weight 1/16: after one request of 16 s it is 1 s.
    """
    limiter = make_limiter()
    async with admitted(limiter, duration_s=duration_s):
        pass
    async with admitted(limiter):
        queued = [asyncio.create_task(run(limiter)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as rejected:
            await run(limiter)
        assert rejected.value.retry_after == retry_after
    await asyncio.gather(*queued)


async def test_durations_are_moving_averages() -> None:
    """Each request moves the mean of all requests, and that of its key, by a sixteenth of the difference."""
    limiter = make_limiter()
    for name, duration_s in (("a", 16.0), ("a", 33.0), ("b", 0.0)):
        async with admitted(limiter, CallerPolicy(share=Share(name)), duration_s=duration_s):
            pass
    assert limiter._mean_duration_s == 3.0 - 3.0 / 16
    assert {name: tenant.mean_duration_s for name, tenant in limiter._queue._tenants.items()} == {"a": 3.0, "b": 0.0}


async def test_a_request_counts_for_its_cost_by_the_weight_of_its_key() -> None:
    """With weight 2, a request moves the virtual start of its key by a half, and one that counts three by 1.5."""
    limiter, policy = make_limiter(slots=2), CallerPolicy(share=Share("a", 2.0))
    flow = await limiter.acquire(policy, 0)
    assert flow.virtual_start == 0.5
    await limiter.acquire(policy, 0, cost=3)
    assert flow.virtual_start == 2.0


async def test_a_higher_priority_goes_first_and_evicts_the_last() -> None:
    """A lower priority number is admitted before earlier arrivals, and evicts the last of them from a full queue."""
    limiter = make_limiter()
    async with admitted(limiter):
        batch = [asyncio.create_task(run(limiter, CallerPolicy(priority=10))) for _ in range(2)]
        await asyncio.sleep(0)
        urgent = asyncio.create_task(run(limiter, CallerPolicy(priority=-1)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batch[1]
    assert await urgent < await batch[0]


async def test_a_rejection_counts_for_the_key_that_was_rejected() -> None:
    """A request that a higher priority evicts counts for its own key, and not for the one that took its place."""
    metrics = Metrics(label_keys=True)
    limiter = make_limiter(max_queued=1, metrics=metrics)
    async with admitted(limiter):
        batch = asyncio.create_task(run(limiter, CallerPolicy(priority=10, share=Share("night"))))
        await asyncio.sleep(0)
        urgent = asyncio.create_task(run(limiter, CallerPolicy(priority=-1, share=Share("urgent"))))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batch
        with pytest.raises(Overloaded):
            await run(limiter, CallerPolicy(share=Share("urgent")))
    await urgent
    samples = [sample for metric in metrics.rejections.collect() for sample in metric.samples if sample.value]
    assert [(sample.labels, sample.value) for sample in samples] == [
        ({"reason": "outranked", "key": "night"}, 1),
        ({"reason": "queue_full", "key": "urgent"}, 1),
    ]


async def test_the_wait_ends_at_the_deadline_or_the_queue_timeout() -> None:
    """The caller's deadline raises DeadlineExceeded, the queue timeout Overloaded; each counts, and no slot is lost."""
    metrics = Metrics()
    limiter = make_limiter(queue_timeout_s=0.05, metrics=metrics)
    async with admitted(limiter):
        with pytest.raises(DeadlineExceeded, match=r"^The deadline passed while the request was queued\.$"):
            await run(limiter, CallerPolicy(deadline=time.time() + 0.01))
        with pytest.raises(Overloaded, match=r"^The gateway is overloaded: too many requests are queued\.$"):
            await run(limiter)
    (family,) = metrics.rejections.collect()
    counts = {sample.labels["reason"]: sample.value for sample in family.samples if sample.value}
    assert {reason for reason, value in counts.items() if value == 1} == counts.keys() == {"deadline", "queue_timeout"}
    await run(limiter)


async def test_a_slot_that_comes_too_late_is_released() -> None:
    """A request that is canceled in the moment of its admission gives back its slot and its pixels."""
    limiter = make_limiter(slots=1, max_pixels=100)
    policy = CallerPolicy(share=Share("a"))
    flow = await limiter.acquire(policy, 90)
    waiting = asyncio.create_task(limiter.acquire(policy, 60))
    await asyncio.sleep(0)
    limiter.release(flow, 90, 1.0)
    assert (limiter._running, limiter._pixels, flow.tenant.running) == (1, 60, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (limiter._running, limiter._pixels, flow.tenant.running) == (0, 0, 0)


async def test_the_time_in_the_queue_is_a_stage() -> None:
    """A request that waits is timed as the stage ``admission``, and by its priority; one that runs at once isn't."""
    metrics = Metrics()
    limiter = make_limiter(metrics=metrics)
    async with admitted(limiter):
        waiting = asyncio.create_task(run(limiter, CallerPolicy(priority=-3)))
        await asyncio.sleep(0.01)
    await waiting
    (family,) = metrics.queue_wait.collect()
    waits = {tuple(sample.labels.values()): sample.value for sample in family.samples if sample.name.endswith("_sum")}
    assert waits.keys() == {("high",)}
    assert 0.005 < waits["high",] < 5
    (family,) = metrics.stages.collect()
    counts = {sample.labels["stage"]: sample.value for sample in family.samples if sample.name.endswith("_count")}
    assert counts["admission"] == 1
    assert sum(counts.values()) == 1


async def test_pixels_are_bounded() -> None:
    """A request waits until its pixels fit; a request above the bound runs alone."""
    limiter = make_limiter(slots=8, max_pixels=100)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admitted(limiter, pixels=90))
        fitting = asyncio.create_task(run(limiter, pixels=10))
        waiting = asyncio.create_task(run(limiter, pixels=20))
        await asyncio.sleep(0.01)
        assert (fitting.done(), waiting.done()) == (True, False)
    await waiting
    await run(limiter, pixels=10_000)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.004), st.booleans()), max_size=20))
async def test_no_slot_is_ever_lost(callers: list[tuple[int, float, bool]]) -> None:
    """After any sequence of waits, time-outs and cancellations, all slots are free and the queue is empty."""
    limiter = make_limiter(slots=2, max_queued=3, queue_timeout_s=0.01)

    async def caller(priority: int, seconds: float, disconnects: bool) -> None:
        task = asyncio.create_task(run(limiter, CallerPolicy(priority=priority), seconds=seconds))
        if disconnects:
            await asyncio.sleep(seconds / 2)
            task.cancel()
        await asyncio.wait({task})

    await asyncio.gather(*(caller(*arguments) for arguments in callers))
    assert (limiter._running, limiter._pixels, limiter._queue.queued) == (0, 0, 0)
    async with admitted(limiter), admitted(limiter):
        pass
