"""One worker: load, known images and outcomes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import Counter, Gauge
from structlog.testing import capture_logs

from sarlens.errors import SarlensError, Timeout, WorkerFailed, WorkerLost, WorkerUnreachable
from sarlens.observability.metrics import Metrics
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.clients.base import WorkerStatus
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages
from sarlens.workers.prefill_cost import DEFAULT_REQUESTS_PER_IMAGE, PIXELS_PER_IMAGE, PrefillCost
from sarlens.workers.worker import Worker


def make_worker() -> Worker:
    """Return a ready worker that holds the image ``aa`` of 10 bytes."""
    client: Any = SimpleNamespace(url="http://gpu-1:8000", supports_batches=True)
    breaker = CircuitBreaker(3, 5)
    worker = Worker(client, Metrics(), known_images=KnownImages(9, ImageIndex()), breaker=breaker)
    worker.ready = True
    worker.known_images.add(["aa"], {"aa": 10})
    return worker


def value(instrument: Counter | Gauge) -> float:
    """Return the value of an instrument of one worker."""
    (family,) = instrument.collect()
    return family.samples[0].value


def test_a_new_worker_has_its_full_weight_and_nothing_to_tell() -> None:
    """Before any check, the weight is 1, and it is unknown whether the worker accepts usage in streams."""
    worker = make_worker()
    assert (worker.weight, worker.accepts_usage, worker.needs_probes) == (1.0, None, True)


def test_hits_and_misses_are_counted() -> None:
    """Two responses about known images and one about a new one count two hits, one miss and the bytes not sent."""
    worker = make_worker()
    worker.record_response(["aa"], ["aa"], {}, hit=True)
    worker.record_response(["aa"], ["aa"], {}, hit=True)
    worker.record_response(["bb"], (), {"bb": 7}, hit=False)
    metrics = worker._metrics
    assert (value(metrics.hits), value(metrics.misses), value(metrics.elided_bytes)) == (2, 1, 20)


def test_the_breaker_and_failures_are_exported() -> None:
    """The gauge of the breaker is 1 from the third failure until a success, and each failure counts."""
    worker, states = make_worker(), []
    for failure in (None, *[Timeout("slow")] * 4, None, None):
        worker.record_outcome(failure)
        states.append(value(worker._metrics.breaker_open))
    assert states == [0, 0, 0, 1, 1, 0, 0]
    assert value(worker._metrics.failures) == 4


async def probe(worker: Worker, *outcomes: WorkerStatus | SarlensError) -> None:
    """Check the health of a worker once for each outcome of its client."""
    remaining = list(outcomes)

    async def answer() -> WorkerStatus:
        outcome = remaining.pop(0)
        if isinstance(outcome, SarlensError):
            raise outcome
        return outcome

    worker.client.probe = answer  # type: ignore[method-assign]
    for _ in outcomes:
        await worker.probe()


async def test_a_worker_that_starts_is_not_lost() -> None:
    """The first failed check of a new worker is logged once; listeners get the worker at every change."""
    worker, changed = make_worker(), list[Worker]()
    worker.ready = False
    worker.on_change.append(changed.append)
    with capture_logs() as logs:
        await probe(worker, WorkerFailed("status 503"), WorkerFailed("status 503"))
    assert [(line["event"], line["reason"]) for line in logs] == [("worker not ready yet", "status 503")]
    worker.accepts_usage = False
    await probe(worker, WorkerStatus({"m": {}}))
    assert worker.ready
    assert worker.accepts_usage is None
    assert changed == [worker, worker]
    worker.retire()
    assert (worker.ready, worker.needs_probes) == (False, False)


async def test_a_restart_shows_in_the_start_time_of_the_process() -> None:
    """Known images stay while the start time is the same, and are cleared when it changes; the load is recorded."""
    worker = make_worker()
    known = []
    for started_at in (1.5, 1.5, 2.5, 2.5):
        await probe(worker, WorkerStatus({"m": {}}, load=4.0, process_start_time=started_at))
        known.append(len(worker.known_images))
        worker.known_images.add(["aa"], {"aa": 10})
    assert known == [1, 1, 0, 1]
    assert worker.load.report is not None
    assert worker.load.report.requests == 4.0
    worker.record_outcome(WorkerFailed("closed"))
    assert len(worker.known_images) == 1


@pytest.mark.parametrize("failure", [Timeout("slow"), WorkerFailed("status 503"), WorkerUnreachable("refused")])
async def test_the_log_says_why_a_worker_is_lost(failure: SarlensError) -> None:
    """A failed check, or a request that can't connect, is the reason in the log line of the lost worker."""
    worker = make_worker()
    with capture_logs() as logs:
        await probe(worker, failure, WorkerStatus({"m": {}}), failure, failure, failure)
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("worker lost", failure.message),
        ("worker ready", None),
        ("worker lost", failure.message),
    ]
    assert value(worker._metrics.ready) == 0
    await probe(worker, *[WorkerStatus({"m": {}})] * 2)
    with capture_logs() as logs:
        worker.record_outcome(WorkerUnreachable("no route"))
    assert [(line["event"], line["reason"]) for line in logs] == [("worker lost", "no route")]


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
    assert not worker.known_images.has_or_expects("p")


async def test_the_cost_of_an_image_is_learned_from_what_the_worker_has() -> None:
    """The cost of images is learned from the requests that were sent, and from the images sent as data."""
    worker, observed = make_worker(), list[tuple[float, int, bool]]()

    class Recorder(PrefillCost):
        def observe(self, requests: float, pixels: int, seconds: float, *, stream: bool) -> None:
            assert 0 <= seconds < 5
            observed.append((requests, pixels, stream))

    worker.load.prefill_cost = Recorder()
    rendering, first, second = (worker.start_request(["p"], 500) for _ in range(3))
    first.mark_sent(0)
    first.mark_sent(500)
    first.mark_sent(500)
    second.mark_sent(0)
    second.learn_prefill_cost(stream=False)
    first.learn_prefill_cost(stream=True)
    first.mark_prefilled()
    rendering.mark_sent(700)
    rendering.learn_prefill_cost(stream=False)
    assert observed == [(2.0, 500, False), (1.0, 500, True), (3.0, 700, False)]
    canceled = worker.start_request(["q"], 100)
    for request in (rendering, first, second, canceled):
        request.finish()
    assert (worker.load.unsent, worker.load.sent_pixels, worker.load.requests_at_worker) == (0, 0, 0)


def test_a_request_in_flight_makes_its_images_expected() -> None:
    """A worker expects an image from the start of a request until its prefill; then only known images count."""
    worker = make_worker()
    request = worker.start_request(["bb"], 100)
    assert [worker.known_images.has_or_expects(image_id) for image_id in ("aa", "bb", "cc")] == [True, True, False]
    request.mark_prefilled()
    assert not worker.known_images.has_or_expects("bb")
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
    """Work that waits for a worker ends with ``WorkerLost`` when the worker is lost, and continues when it leaves."""
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
