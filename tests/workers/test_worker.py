"""One worker: load, known images and outcomes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sarlens.errors import Timeout, WorkerFailed, WorkerLost, WorkerUnreachable
from sarlens.observability.metrics import Metrics
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.known_images import KnownImages
from sarlens.workers.prefill_cost import DEFAULT_REQUESTS_PER_IMAGE, PIXELS_PER_IMAGE, PrefillCost
from sarlens.workers.worker import Worker


def make_worker() -> Worker:
    """Return a ready worker that holds the image ``aa`` of 10 bytes."""
    client: Any = SimpleNamespace(url="http://gpu-1:8000", supports_batches=True)
    breaker = CircuitBreaker(3, 5)
    worker = Worker(client, Metrics(), known_images=KnownImages(9), breaker=breaker)
    worker.ready = True
    worker.known_images.add(["aa"], {"aa": 10})
    return worker


def test_load_counts_requests_and_pixels_to_prefill() -> None:
    """A request counts 1, plus 6.5 for 65,536 pixels until they are prefilled; an idle worker has load 0."""
    worker = make_worker()
    first = worker.start_request(["p"], 2 * PIXELS_PER_IMAGE)
    second = worker.start_request([], 0)
    assert (worker.load.own, worker.load.in_flight) == (2 + 2 * DEFAULT_REQUESTS_PER_IMAGE, 2)
    first.mark_prefilled()
    assert worker.load.own == 2.0
    first.finish()
    assert (worker.load.own, worker.load.in_flight) == (1.0, 1)
    second.finish()
    assert (worker.load.own, worker.load.in_flight) == (0.0, 0)


def test_a_batch_loads_a_worker_as_its_chats_do() -> None:
    """A batch of eight chats counts 8, plus its image once, until all have ended together."""
    worker = make_worker()
    batch = worker.start_request(["p"], PIXELS_PER_IMAGE, 8)
    assert (worker.load.own, worker.load.in_flight) == (8 + DEFAULT_REQUESTS_PER_IMAGE, 8)
    assert (worker.load.requests_at_worker, worker.load.unsent) == (0, 8)
    batch.mark_prefilled()
    assert worker.load.own == 8.0
    batch.finish()
    assert (worker.load.own, worker.load.in_flight, worker.load.unsent) == (0.0, 0, 0)


def test_bytes_saved_by_a_batch() -> None:
    """Of three chats, the two after the first save the bytes of a new image, and all three those of a known one."""
    worker = make_worker()
    assert worker.record_response(["n"], (), {"n": 100}, hit=False, chats=3) == 200
    assert worker.record_response(["n"], ["n"], {}, hit=True, chats=3) == 300
    assert worker.record_response(["n"], ["n"], {}, hit=True) == 100


def test_a_change_of_readiness_forgets_the_batch_route() -> None:
    """A worker without a batch route may have one when it returns, since its process may be another one."""
    worker = make_worker()
    worker.batch_route.on_missing()
    assert worker.batch_route.exists is False
    worker.health.on_unreachable()
    worker.record_outcome(WorkerUnreachable("no"))
    assert not worker.ready
    assert worker.batch_route.exists is None


def test_load_does_not_drift() -> None:
    """Ten thousand requests with fractional loads leave a load of exactly 0."""
    worker = make_worker()
    for index in range(10_000):
        worker.start_request(["p"], 1000 + index).finish()
    assert worker.load.own == 0.0
    assert not worker.pending_images


async def test_the_cost_of_an_image_is_learned_from_what_the_worker_has() -> None:
    """The cost of images is learned from the requests that were sent, and from the images sent as data."""
    worker, observed = make_worker(), list[tuple[float, int]]()

    class Recorder(PrefillCost):
        def observe(self, requests: float, pixels: int, seconds: float, *, stream: bool) -> None:
            assert 0 <= seconds < 5
            observed.append((requests, pixels))

    worker.load.prefill_cost = Recorder()
    rendering, first, second = (worker.start_request(["p"], 500) for _ in range(3))
    first.mark_sent(0)
    first.mark_sent(500)
    second.mark_sent(0)
    second.learn_prefill_cost(stream=False)
    first.learn_prefill_cost(stream=True)
    first.mark_prefilled()
    rendering.mark_sent(700)
    rendering.learn_prefill_cost(stream=False)
    assert observed == [(2.0, 500), (1.0, 500), (3.0, 700)]
    canceled = worker.start_request(["q"], 100)
    for request in (rendering, first, second, canceled):
        request.finish()
    assert (worker.load.unsent, worker.load.sent_pixels, worker.load.requests_at_worker) == (0, 0, 0)


def test_a_request_in_flight_makes_its_images_expected() -> None:
    """A worker expects an image from the start of a request until its prefill; then only known images count."""
    worker = make_worker()
    request = worker.start_request(["bb"], 100)
    assert [worker.has_or_expects(image_id) for image_id in ("aa", "bb", "cc")] == [True, True, False]
    request.mark_prefilled()
    assert not worker.has_or_expects("bb")
    request.finish()


@pytest.mark.parametrize(
    ("failure", "known", "ready"),
    [
        (WorkerFailed("closed"), 0, True),
        (WorkerUnreachable("refused"), 0, False),
        (Timeout("slow"), 1, True),
        (None, 1, True),
    ],
)
def test_a_lost_connection_clears_the_known_images(
    failure: WorkerFailed | Timeout | None, known: int, ready: bool
) -> None:
    """A worker that closed a connection may have restarted, so its known images are cleared; a timeout keeps them."""
    worker = make_worker()
    worker.record_outcome(failure)
    assert (len(worker.known_images), worker.ready) == (known, ready)


def test_three_failures_open_the_breaker() -> None:
    """Each failure counts towards the threshold of three; a success resets the count."""
    worker = make_worker()
    for _ in range(2):
        worker.record_outcome(cast("WorkerFailed", Timeout("slow")))
    worker.record_outcome(None)
    for _ in range(3):
        assert not worker.breaker.is_open
        worker.record_outcome(Timeout("slow"))
    assert worker.breaker.is_open


@pytest.mark.parametrize("fault", ["probe", "refused", "graceful"])
async def test_work_ends_with_the_health_of_its_worker(fault: str) -> None:
    """Work that waits for a worker ends with ``WorkerLost`` when the worker is lost, and goes on when it leaves."""
    worker = make_worker()
    answered = asyncio.Event()
    work = asyncio.create_task(worker.unless_lost(answered.wait()))
    await asyncio.sleep(0)
    if fault == "probe":
        for _ in range(3):
            worker.health.on_failure()
        worker._set_ready(reason="no answer")
    elif fault == "refused":
        worker.record_outcome(WorkerUnreachable("refused"))
    else:
        worker.retire()
    await asyncio.sleep(0.01)
    assert work.done() == (fault != "graceful")
    answered.set()
    if fault == "graceful":
        assert await work is True
    else:
        with pytest.raises(WorkerLost):
            await work


@pytest.mark.parametrize("caller_cancels", [False, True])
async def test_a_lost_worker_cancels_its_work_alone(caller_cancels: bool) -> None:
    """The loss of a worker leaves no cancellation in the task; one of the caller, at the same time, prevails."""
    worker = make_worker()
    worker.health.on_success()
    worker._set_ready(reason=None)

    async def request() -> int:
        task = asyncio.current_task()
        assert task is not None
        for _ in range(2):
            with pytest.raises(WorkerLost):
                await worker.unless_lost(asyncio.sleep(60))
        return task.cancelling()

    task = asyncio.create_task(request())
    for _ in range(2):
        await asyncio.sleep(0)
        worker._release_waiting()
        if caller_cancels:
            task.cancel()
        await asyncio.sleep(0)
    if caller_cancels:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert await task == 0
