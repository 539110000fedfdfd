"""Attempts at single workers: what another worker may do better, and what each outcome says about a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from sarlens.errors import SarlensError, Timeout, WorkerFailed, WorkerUnreachable
from sarlens.inference.attempt import DispatchedResponse
from sarlens.inference.worker_response import RejectedResponse
from sarlens.workers.clients.base import StaleConnection
from support.workers.scripted_worker import Reply, ScriptedFleet, batch, rejection, request, stream


async def dispatch(fleet: ScriptedFleet, **fields: Any) -> DispatchedResponse:
    """Send a chat."""
    return await fleet.dispatcher.dispatch("scripted", request(**fields))


@pytest.mark.parametrize(
    ("outcome", "failures", "reason"),
    [
        (rejection(429), 0, "declined"),
        (rejection(503), 0, "declined"),
        (rejection(500), 1, "worker_failed"),
        (rejection(502), 1, "worker_failed"),
        (rejection(401), 1, "worker_failed"),
        (WorkerFailed("closed"), 1, "worker_failed"),
        (WorkerUnreachable("refused"), 1, "worker_unreachable"),
        (Timeout("slow"), 1, "timeout"),
        (StaleConnection("idle"), 0, "stale_connection"),
    ],
)
async def test_a_failed_attempt_moves_and_counts(outcome: Reply | Exception, failures: int, reason: str) -> None:
    """The second worker answers, one retry counts with its reason, and only a worker's own fault opens its breaker."""
    fleet = ScriptedFleet([[outcome], [Reply()]])
    first, second = await fleet.start()
    first.breaker.on_failure()
    dispatched = await dispatch(fleet)
    assert (first.load.in_flight, second.load.in_flight) == (0, 1)
    dispatched.close()
    assert (first.load.in_flight, second.load.in_flight) == (0, 0)
    assert fleet.counts("retries") == {reason: 1}
    expected = 0 if reason == "declined" else 1 + failures
    assert (first.breaker._failures, second.breaker._failures) == (expected, 0)
    if isinstance(outcome, Reply):
        assert outcome.closed == 1


@pytest.mark.parametrize("status", [400, 404, 413, 422, 499])
async def test_a_rejection_is_the_callers_fault(status: int) -> None:
    """A status from 400 to 499, apart from 401, 403 and 429, reaches the caller, and the worker is healthy."""
    fleet = ScriptedFleet([[rejection(status)], [Reply()]])
    first, second = await fleet.start()
    first.breaker.on_failure()
    response = (await dispatch(fleet)).response
    assert isinstance(response, RejectedResponse)
    assert response.status == status
    assert (first.breaker._failures, fleet.clients[1].calls, fleet.counts("retries")) == (0, [], {})
    assert not second.load.in_flight


async def test_the_key_of_the_gateway_is_named_in_the_log() -> None:
    """A worker that rejects the gateway's key fails, and the log names the setting and the worker."""
    fleet = ScriptedFleet([[rejection(401)]])
    await fleet.start()
    with capture_logs() as logs, pytest.raises(WorkerFailed):
        await dispatch(fleet)
    assert [(line["event"], line["worker"]) for line in logs] == [
        ("the worker rejected SARLENS_WORKER__API_KEY", "http://a")
    ]


async def test_a_stream_is_judged_at_its_end() -> None:
    """A complete response closes the count of failures; a stream that has only begun doesn't."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "3"}}]}
    for reply, failures in ((Reply(), 0), (stream(chunk), 1)):
        fleet = ScriptedFleet([[reply]])
        (worker,) = await fleet.start()
        worker.breaker.on_failure()
        (await dispatch(fleet, stream=reply.is_stream)).close()
        assert worker.breaker._failures == failures
        assert reply.closed == 1


async def test_the_stage_of_a_worker_is_timed_to_the_close() -> None:
    """The time at a worker is that from the start of the attempt to the close of the response."""
    fleet = ScriptedFleet([[Reply()]])
    await fleet.start()
    dispatched = await dispatch(fleet)
    assert fleet.counts("stages") == {}
    await asyncio.sleep(0.02)
    await dispatched.discard()
    assert 0.02 <= fleet.counts("stages")["worker"] < 2


async def test_a_cancelled_attempt_leaves_no_load() -> None:
    """If the caller disconnects while a worker works, the request leaves the worker, and no failure is recorded."""
    fleet = ScriptedFleet([[asyncio.Event()], [Reply()]])
    first, _ = await fleet.start()
    task = asyncio.create_task(dispatch(fleet))
    while not fleet.clients[0].calls:
        await asyncio.sleep(0)
    assert first.load.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (first.load.in_flight, first.breaker._failures, fleet.clients[1].calls) == (0, 0, [])


async def test_a_batch_in_flight_counts_its_chats() -> None:
    """While a worker works on a batch of three chats about an image, it has three requests and one image."""
    fleet = ScriptedFleet([[asyncio.Event()]])
    (worker,) = await fleet.start()
    task = asyncio.create_task(fleet.dispatcher.dispatch_batch("scripted", batch(3, "a")))
    while not fleet.clients[0].calls:
        await asyncio.sleep(0)
    load = worker.load
    assert (load.in_flight, load.unsent, load.pending_pixels, load.sent_pixels) == (3, 0, 16, 16)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (load.in_flight, load.unsent, load.pending_pixels, load.sent_pixels) == (0, 0, 0, 0)


async def test_the_failure_of_the_last_worker_reaches_the_caller() -> None:
    """With one worker, its failure is the caller's, and no retry counts."""
    for failure in (WorkerFailed("closed"), Timeout("slow"), WorkerUnreachable("refused")):
        fleet = ScriptedFleet([[failure]])
        await fleet.start()
        with pytest.raises(SarlensError) as raised:
            await dispatch(fleet)
        assert raised.value is failure
        assert fleet.counts("retries") == {}
