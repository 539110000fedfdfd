"""Failover: which workers get a request that fails, how often, and what the caller sees."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from sarlens.errors import NoWorkerAvailable, Timeout, WorkerFailed, WorkersFull, WorkerUnreachable
from sarlens.inference.failover import Failover, Visits, WorkerDeclined, WorkerErrored
from sarlens.inference.worker_response import RejectedResponse
from sarlens.settings import RoutingSettings, Settings, WorkerSettings
from sarlens.workers.clients.base import StaleConnection
from support.fleet import ask, fleet, metric
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker, RawReply
from support.workers.scripted_worker import ScriptedFleet

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}
IN_TURN = RoutingSettings(policy="round_robin", max_retry_budget=10_000)


def visits(workers: list[FakeWorker]) -> list[int]:
    """Return the number of requests of each worker, in ascending order."""
    return sorted(len(worker.bodies) for worker in workers)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("store", "attempts"), [(False, [0, 1, 1]), (True, [0, 0, 1])])
async def test_a_request_that_crashes_workers_visits_two(stream: bool, store: bool, attempts: list[int]) -> None:
    """Of three workers that close the connection, two get the request, once each; one, if it isn't idempotent."""
    async with fleet(3) as (url, workers, http):
        for worker in workers:
            worker.resets = True
        status, _ = await ask(http, url, {**CHAT, "stream": stream, "store": store})
        assert (status, visits(workers)) == (502, attempts)
        assert await metric(http, url, "sarlens_retries_total") == sum(attempts) - 1


@pytest.mark.parametrize("fault", ["error", "hang"])
async def test_failures_that_may_be_the_requests_fault_visit_two(fault: str) -> None:
    """Of four workers that fail or hang, two get the request, so the time-outs don't add up to more than two."""
    async with fleet(4, response_timeout_s=0.2) as (url, workers, http):
        for worker in workers:
            worker.hangs = fault == "hang"
            worker.fails_with = (500, '{"error": {"message": "CUDA error"}}') if fault == "error" else None
        began = time.monotonic()
        status, _ = await ask(http, url, CHAT)
        assert status == (504 if fault == "hang" else 500)
        assert visits(workers) == [0, 0, 1, 1]
        assert fault == "error" or time.monotonic() - began >= 0.4


async def test_a_request_that_stores_moves_only_if_a_worker_declines() -> None:
    """A request with ``store: true`` moves on from full workers and from a refused connection, and from no others."""
    async with fleet(3, IN_TURN) as (url, workers, http):
        workers[0].fails_with = workers[1].fails_with = (429, "{}")
        for _ in range(3):
            assert (await ask(http, url, {**CHAT, "store": True}))[0] == 200
        assert visits(workers) == [2, 2, 3] or visits(workers) == [1, 2, 3]
        assert await metric(http, url, 'sarlens_retries_total{reason="declined"}') == 3
        workers[0].fails_with = workers[1].fails_with = (500, '{"error": {"message": "no"}}')
        before = sum(visits(workers))
        statuses = [(await ask(http, url, {**CHAT, "store": True}))[0] for _ in range(3)]
        assert sorted(statuses) == [200, 500, 500]
        assert sum(visits(workers)) == before + 3


async def test_hedges_and_retries_are_two_visits_together() -> None:
    """If the hedged pair of workers fails, a third one isn't asked, and none gets the request twice."""
    async with fleet(3, RoutingSettings(hedge_after_s=0.02), response_timeout_s=0.2) as (url, workers, http):
        for worker in workers:
            worker.hangs = True
        assert (await ask(http, url, CHAT))[0] == 504
        assert visits(workers) == [0, 1, 1]
        assert await metric(http, url, 'sarlens_retries_total{reason="hedge"}') == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_requests_on_a_lost_worker_move_at_once(stream: bool) -> None:
    """A worker that hangs and fails its health checks loses its requests to another, long before any time-out."""
    async with fleet(2, IN_TURN, probe_interval_s=0.05) as (url, [bad, good], http):
        bad.hangs = True
        asking = [asyncio.create_task(ask(http, url, {**CHAT, "stream": stream})) for _ in range(4)]
        async with asyncio.timeout(30):
            while bad.running < 2:
                await asyncio.sleep(0.01)
            bad.health_status = 500
            answers = await asyncio.gather(*asking)
            while bad.running:
                await asyncio.sleep(0.01)
        assert {status for status, _ in answers} == {200}
        assert (len(good.bodies), bad.aborted) == (4, 2)
        assert await metric(http, url, 'sarlens_retries_total{reason="worker_lost"}') == 2
        assert await metric(http, url, "sarlens_worker_failures_total") == 0


async def test_a_request_that_stores_ends_with_its_lost_worker() -> None:
    """If the worker of a request with ``store: true`` is lost, the caller gets 502 ``worker_lost`` at once."""
    async with fleet(2, probe_interval_s=0.05) as (url, workers, http):
        for worker in workers:
            worker.hangs = True
        asking = asyncio.create_task(ask(http, url, {**CHAT, "store": True}))
        async with asyncio.timeout(30):
            while not (busy := [worker for worker in workers if worker.running]):
                await asyncio.sleep(0.01)
            busy[0].health_status = 500
            status, body = await asking
        assert (status, visits(workers)) == (502, [0, 1])
        assert b'"code":"worker_lost"' in body


@pytest.mark.parametrize(
    ("replies", "status", "code", "retry_after"),
    [
        ([(429, "7"), (429, "3")], 429, "workers_full", "3"),
        ([(429, "7"), (503, "9")], 503, "no_worker", "7"),
        ([(429, None), (429, "20")], 429, "workers_full", "20"),
        ([(429, None), (429, "soon")], 429, "workers_full", "1"),
        ([(503, "0"), (503, "5")], 503, "no_worker", "1"),
    ],
)
async def test_full_workers_say_when_to_retry(
    replies: list[tuple[int, str | None]], status: int, code: str, retry_after: str
) -> None:
    """If all workers are full, the caller gets 429 if all said so, else 503, with the shortest ``Retry-After``."""
    async with fleet(2) as (url, workers, http):
        for worker, (refusal, delay) in zip(workers, replies, strict=True):
            headers = {"Content-Type": "application/json"} | ({"Retry-After": delay} if delay else {})
            worker.replies = RawReply([b'{"error": {"message": "full"}}'], refusal, headers)
        async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
            assert (response.status, response.headers["Retry-After"]) == (status, retry_after)
            assert (await response.json())["error"]["code"] == code
        assert visits(workers) == [1, 1]


class IdleCloser:
    """A worker behind which each connection ends when the second request on it arrives, without a response."""

    def __init__(self) -> None:
        self.url = ""
        self.posts = 0
        self.closed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the first request of a connection, and close it at the second."""
        for number in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            post = head.startswith(b"POST")
            if post and number:
                self.closed += 1
                break
            if post:
                self.posts += 1
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
            body = b'{"data": [{"id": "sarlens-nano"}], "choices": []}'
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
        writer.close()


@pytest.mark.parametrize(
    ("store", "status", "posts", "retries"), [(False, 200, 2, 1), (True, 502, 1, 0)], ids=["again", "once"]
)
async def test_a_stale_connection_is_replaced(store: bool, status: int, posts: int, retries: int) -> None:
    """If a reused connection is closed without a byte, only an idempotent request goes to the worker once more."""
    closer = IdleCloser()
    server = await asyncio.start_server(closer.serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = Settings(worker=WorkerSettings(urls=(base,), probe_interval_s=60, read_metrics=False))
    async with server, gateway(settings) as url, aiohttp.ClientSession() as http:
        assert (await ask(http, url, CHAT))[0] == 200
        assert (await ask(http, url, {**CHAT, "store": store}))[0] == status
        assert await metric(http, url, 'sarlens_retries_total{reason="stale_connection"}') == retries
        assert await metric(http, url, "sarlens_worker_failures_total") == 0
    assert (closer.posts, closer.closed) == (posts, 1)


def failover(fleet: ScriptedFleet, visits: Visits | None = None) -> Failover:
    """Return the failover of an idempotent request over all workers of a fleet."""
    return Failover(fleet.pool.workers, fleet.budget, fleet.metrics, visits or Visits(idempotent=True))


@pytest.mark.parametrize(("idempotent", "visits"), [(True, 2), (False, 1)])
def test_visits_are_bounded(idempotent: bool, visits: int) -> None:
    """Two workers may process an idempotent request, and one any other; those that run now count as well."""
    counted = Visits(idempotent=idempotent)
    assert [counted.may_add(running) for running in range(3)] == [running < visits for running in range(3)]
    for _ in range(visits):
        assert counted.may_add()
        counted.add()
    assert not counted.may_add()


async def test_workers_come_in_order_and_only_if_ready() -> None:
    """Workers that left in the meantime are skipped; each retry costs one from the budget, and the first doesn't."""
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 4, max_retry_budget=1)
    a, b, c, _ = await fleet.start()
    b.ready = False
    tried = failover(fleet)
    assert tried.next_worker() is a
    tried.record_failure(a, WorkerUnreachable("refused"))
    assert tried.next_worker() is c
    tried.record_failure(c, WorkerUnreachable("refused"))
    assert tried.next_worker() is None  # the budget of one retry is spent
    assert fleet.counts("retries") == {"worker_unreachable": 1}


async def test_a_hedge_is_a_visit_while_it_runs() -> None:
    """A second worker may get the request while one works on it, and no third one; each hedge costs one retry."""
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 3, max_retry_budget=3)
    a, b, _ = await fleet.start()
    tried = failover(fleet)
    assert tried.next_worker() is a
    assert tried.may_hedge()
    assert tried.take_hedge() is b
    assert not tried.may_hedge()
    assert [fleet.budget.try_spend() for _ in range(3)] == [True, True, False]
    assert fleet.counts("retries") == {"hedge": 1}
    tried.record_failure(a, Timeout("slow"))
    tried.record_failure(b, Timeout("slow"))
    assert tried.next_worker() is None


async def test_an_attempt_that_failed_no_longer_runs() -> None:
    """After a worker that wasn't reached, the next one may have one hedge, as the first worker of a request may."""
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 4)
    a, b, c, _ = await fleet.start()
    tried = failover(fleet)
    tried.next_worker()
    tried.record_failure(a, WorkerUnreachable("refused"))
    assert tried.next_worker() is b
    assert tried.may_hedge()
    assert tried.take_hedge() is c
    assert not tried.may_hedge()


async def test_no_hedge_without_a_worker_or_a_budget() -> None:
    """The last worker has no hedge, which leaves the budget; without a budget, there is none either."""
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 2, max_retry_budget=1)
    await fleet.start()
    tried = failover(fleet)
    tried.next_worker()
    tried.next_worker()
    assert not tried.may_hedge()
    tried = failover(fleet)
    tried.next_worker()
    assert fleet.budget.try_spend()
    assert not tried.may_hedge()


async def test_a_stale_connection_of_the_last_worker_is_replaced() -> None:
    """The last worker gets the request again on another connection; with others left, the next one gets it."""
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 2)
    a, b = await fleet.start()
    tried = failover(fleet)
    tried.next_worker()
    tried.record_failure(a, StaleConnection("idle"))
    assert tried.next_worker() is b
    tried.record_failure(b, WorkerUnreachable("refused"))
    assert tried.next_worker() is None
    tried = failover(fleet)
    tried.next_worker()
    tried.record_failure(a, WorkerUnreachable("refused"))
    tried.next_worker()
    tried.record_failure(b, StaleConnection("idle"))
    assert tried.next_worker() is b


async def test_the_last_visit_decides_what_the_caller_sees() -> None:
    """A failure of a worker that processed the request precedes one that didn't reach a worker, and full workers both.

    Without any worker, the request may succeed in 2 s.
    """
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 2)
    a, b = await fleet.start()
    with pytest.raises(
        NoWorkerAvailable, match=r"^No worker that serves this model is left\. Retry in a moment\.$"
    ) as missing:
        failover(fleet).conclude()
    assert missing.value.retry_after == 2
    slow, refused = Timeout("slow"), WorkerUnreachable("refused")
    tried = failover(fleet)
    tried.record_failure(a, refused)
    with pytest.raises(WorkerUnreachable):
        tried.conclude()
    tried.record_failure(a, slow)
    tried.record_failure(b, refused)
    with pytest.raises(Timeout):
        tried.conclude()
    errored = RejectedResponse(500, {"message": "CUDA error"})
    tried.record_failure(b, WorkerErrored(errored))
    assert tried.conclude() is errored
    tried.record_failure(b, WorkerDeclined(RejectedResponse(429, {}, 7)))
    words = r"^Every worker that serves this model is at capacity\. Retry in a moment\.$"
    with pytest.raises(WorkersFull, match=words) as full:
        tried.conclude()
    assert full.value.retry_after == 7


async def test_who_gets_the_chats_of_a_failed_batch() -> None:
    """The workers that are left get single chats, and at last the one that responded with an error; a lost one doesn't.

    If no worker processed the batch, all workers may; if all are full, the caller waits.
    """
    fleet = ScriptedFleet([[WorkerFailed("closed")]] * 3)
    a, b, c = await fleet.start()
    tried = failover(fleet)
    unanswered = tried.conclude_batch([a])
    assert (unanswered.failure, unanswered.workers, unanswered.ranked) == (None, (), ())
    tried.next_worker()
    errored = WorkerErrored(RejectedResponse(500, {"message": "CUDA error"}))
    tried.record_failure(a, errored)
    unanswered = tried.conclude_batch([a, b])
    assert (unanswered.failure, unanswered.workers, unanswered.ranked) == (errored, (b, c, a), [a, b])
    tried = failover(fleet)
    tried.next_worker()
    closed = WorkerFailed("closed")
    tried.record_failure(a, closed)
    unanswered = tried.conclude_batch([])
    assert (unanswered.failure, unanswered.workers) == (closed, (b, c))
    tried = failover(fleet)
    tried.next_worker()
    tried.record_failure(a, WorkerDeclined(RejectedResponse(503, {})))
    with pytest.raises(NoWorkerAvailable) as full:
        tried.conclude_batch([])
    assert full.value.retry_after == 1


def test_the_words_of_a_worker_are_kept() -> None:
    """An error of a worker has its message, and a full worker is named as such."""
    errored = RejectedResponse(500, {"message": "CUDA error"})
    assert (WorkerErrored(errored).message, WorkerErrored(errored).response) == ("CUDA error", errored)
    assert WorkerDeclined(errored).message == "The worker is at capacity."
