"""Routing: which worker gets a request, what the gateway sends it, and how worker failures appear to callers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from sarlens.errors import NoWorkerAvailable, Timeout, WorkerFailed
from sarlens.inference.failover import BatchUnanswered
from sarlens.observability.route_receipt import RouteReceipt
from sarlens.routing.candidates import Candidates
from sarlens.settings import AdmissionSettings, RoutingSettings, Settings, WorkerSettings
from support.fleet import ask, fleet, question
from support.gateway import gateway
from support.workers.fake_worker import MODEL, fake_worker
from support.workers.scripted_worker import Reply, ScriptedFleet, batch, rejection, request


async def test_requests_for_an_image_go_to_the_worker_that_holds_it() -> None:
    """Of forty images with six questions each, every image goes to one worker once, and both workers get some."""
    async with fleet(2) as (url, workers, http):
        for n in range(6):
            for number in range(40):
                assert (await ask(http, url, question(number, f"Question {n}?")))[0] == 200
        assert sum(worker.shown for worker in workers) == 40
        assert all(10 <= worker.shown <= 30 for worker in workers)


async def test_the_bytes_of_an_image_are_sent_once() -> None:
    """The second request for an image has its id and no data, and the image precedes the text."""
    async with fleet(1) as (url, [worker], http):
        for _ in range(2):
            assert (await ask(http, url, question()))[0] == 200
        first, second = (body["messages"][0]["content"] for body in worker.requests)
        assert [part["type"] for part in first] == ["image_url", "text"]
        assert first[0]["image_url"]["url"].startswith("data:image/")
        assert second[0] == {"type": "image_url", "image_url": None, "uuid": first[0]["uuid"]}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cache_miss_resends_the_data(stream: bool) -> None:
    """If a worker has evicted an image, the gateway resends the request with the data, and the caller is served."""
    async with fleet(1) as (url, [worker], http):
        await ask(http, url, question())
        worker.known.clear()
        status, said = await ask(http, url, question(stream=stream))
        assert status == 200
        assert b"ships" in said
        assert (worker.shown, len(worker.bodies)) == (2, 3)
        async with http.get(f"{url}/metrics") as response:
            assert 'sarlens_pictures_sent_total{form="missed"} 1.0' in await response.text()


async def test_an_error_as_the_first_event_may_be_a_cache_miss() -> None:
    """If a stream about a known image begins with an error, the gateway resends the request with the data."""
    async with fleet(1) as (url, [worker], http):
        await ask(http, url, question())
        worker.streams_error = True
        await ask(http, url, question(stream=True))
        urls = [body["messages"][0]["content"][0]["image_url"] for body in worker.requests]
        assert urls == [urls[0], None, urls[0]]
        assert urls[0]["url"].startswith("data:image/")


async def test_several_images_keep_their_order() -> None:
    """If a message has two images, their order and position in the text stay unchanged."""
    one, two = question(1)["messages"][0]["content"], question(2)["messages"][0]["content"]
    body = {"model": MODEL, "messages": [{"role": "user", "content": one + two}]}
    async with fleet(1) as (url, [worker], http):
        assert (await ask(http, url, body))[0] == 200
        sent = worker.requests[0]["messages"][0]["content"]
        assert [part["type"] for part in sent] == ["text", "image_url", "text", "image_url"]


async def test_one_request_for_a_new_image_leads() -> None:
    """Of 32 concurrent requests for a new image, one leads, no worker gets the data twice, and both answer."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.pause_s = 0.02
        answers = await asyncio.gather(*(ask(http, url, question(text=f"{n}?")) for n in range(32)))
        assert {status for status, _ in answers} == {200}
        assert max(worker.shown for worker in workers) == 1
        assert min(len(worker.bodies) for worker in workers) >= 2


async def test_a_hot_image_spreads() -> None:
    """Of 200 concurrent requests for one image, each of four workers gets the data once and at most 1.4 x its share.

    Responses take longer than the requests need to arrive, so that the load bound of 1.25 decides. The load includes
    the image, which counts as 6.5 requests at three of the workers.
    """
    async with fleet(4) as (url, workers, http):
        for worker in workers:
            worker.pause_s = 0.15
        await asyncio.gather(*(ask(http, url, question(text=f"{n}?")) for n in range(200)))
        shares = [len(worker.bodies) / 50 for worker in workers]
        assert max(shares) <= 1.4
        assert [worker.shown for worker in workers] == [1, 1, 1, 1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["hangs", "resets", "fails", "truncates"])
async def test_a_faulty_worker_is_invisible_to_the_caller(fault: str, stream: bool) -> None:
    """If a worker hangs, resets the connection or fails before its first byte, another worker answers."""
    async with fleet(2, first_token_timeout_s=0.3, response_timeout_s=0.3) as (url, [bad, _], http):
        if fault == "fails":
            bad.fails_with = (500, '{"error": {"message": "CUDA error", "type": "x", "param": null, "code": 500}}')
        elif fault == "truncates":
            bad.dies_after, bad.resets = 0, not stream
        else:
            setattr(bad, fault, True)
        answers = await asyncio.gather(*(ask(http, url, question(n, stream=stream)) for n in range(24)))
        assert {status for status, _ in answers} == {200}
        assert all(b"ships" in said for _, said in answers)
        assert bad.bodies


async def test_broken_streams_open_the_circuit_breaker() -> None:
    """Streams that break midway open the worker's circuit breaker, so that later requests go to other workers."""
    async with fleet(2) as (url, [bad, _], http):
        bad.dies_after = 2
        answers = [await ask(http, url, question(n, stream=True)) for n in range(40)]
        assert {status for status, _ in answers} == {200}
        assert sum(b"error" in said for _, said in answers) == 3


async def test_the_error_of_the_last_worker_reaches_the_caller() -> None:
    """If every worker fails, the caller gets the worker's error; if all are at capacity, 503 with Retry-After."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.fails_with = (500, '{"error": {"message": "CUDA error", "type": "x", "param": null, "code": 500}}')
        status, said = await ask(http, url, question())
        assert status == 500
        assert b"CUDA error" in said
        for worker in workers:
            worker.fails_with = (503, '{"error": {"message": "queue full", "type": "x", "param": null, "code": 503}}')
        async with http.post(f"{url}/v1/chat/completions", json=question()) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_a_disconnect_during_failover_leaves_no_load() -> None:
    """A disconnect while the second worker runs the request releases the load of both workers."""
    async with fleet(2, RoutingSettings(policy="round_robin")) as (url, [first, second], http):
        first.fails_with = (500, '{"error": {"message": "no", "type": "x", "param": null, "code": 500}}')
        second.hangs = True
        asking = [asyncio.create_task(ask(http, url, question(n))) for n in range(2)]
        async with asyncio.timeout(30):
            while second.running < 2:
                await asyncio.sleep(0.01)
        for each in asking:
            each.cancel()
        async with asyncio.timeout(30):
            while second.running:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        async with http.get(f"{url}/metrics") as response:
            page = await response.text()
        in_flight = [line for line in page.splitlines() if line.startswith("sarlens_worker_in_flight_requests{")]
        assert [line.rpartition(" ")[2] for line in in_flight] == ["0.0", "0.0"]


async def test_retries_end_with_the_budget() -> None:
    """Without a retry budget, the first failure reaches the caller, and only one worker gets the request."""
    async with fleet(3, RoutingSettings(max_retry_budget=0, retry_budget_ratio=0)) as (url, workers, http):
        for worker in workers:
            worker.resets = True
        assert (await ask(http, url, question()))[0] == 502
        assert sum(len(worker.bodies) for worker in workers) <= 2


async def test_a_slow_worker_is_hedged() -> None:
    """With hedging, a second worker answers for a slow one, and the gateway aborts the slow generation."""
    async with fleet(2, RoutingSettings(hedge_after_s=0.05)) as (url, workers, http):
        await ask(http, url, question())
        slow = next(worker for worker in workers if worker.bodies)
        slow.hangs = True
        async with asyncio.timeout(30):
            assert (await ask(http, url, question()))[0] == 200
            while slow.running:
                await asyncio.sleep(0.01)
        assert slow.aborted == 1


async def test_a_request_that_stores_is_never_hedged() -> None:
    """A request with ``store: true`` isn't idempotent, so only one worker gets it however slow that worker is."""
    async with fleet(2, RoutingSettings(hedge_after_s=0.02)) as (url, workers, http):
        for worker in workers:
            worker.pause_s = 0.05
        assert (await ask(http, url, question(store=True)))[0] == 200
        assert sorted(len(worker.bodies) for worker in workers) == [0, 1]
        assert (await ask(http, url, question(1)))[0] == 200
        assert sum(len(worker.bodies) for worker in workers) == 3


async def test_an_error_as_the_first_event_of_a_stream_is_a_failure() -> None:
    """A 200 stream that begins with an error counts as a failure of its worker, and another worker answers."""
    async with fleet(2, RoutingSettings(policy="round_robin")) as (url, workers, http):
        workers[0].streams_error = True
        answers = [await ask(http, url, question(n, stream=True)) for n in range(6)]
        assert {status for status, _ in answers} == {200}
        assert all(b"ships" in body for _, body in answers)
        assert len(workers[0].bodies) == 3
        async with http.get(f"{url}/metrics") as response:
            page = await response.text()
        failures = {
            line.partition('"')[2].partition('"')[0]: float(line.split()[-1])
            for line in page.splitlines()
            if line.startswith("sarlens_worker_failures_total{")
        }
        assert failures[workers[0].url] == 3.0
        assert failures.get(workers[1].url, 0.0) == 0.0


async def test_pixels_of_images_count_in_the_concurrency_limit() -> None:
    """With a limit of two images' pixels, three concurrent requests for new images never run all at once."""
    async with fake_worker() as worker:
        worker.pause_s = 0.05
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)),
            admission=AdmissionSettings(max_pixels=2 * 256**2),
        )
        async with gateway(settings) as url, aiohttp.ClientSession() as http:
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, worker.running)
                    await asyncio.sleep(0.002)

            watching = asyncio.create_task(watch())
            await asyncio.gather(*(ask(http, url, question(n)) for n in range(6)))
            watching.cancel()
            assert most == 2


async def test_a_model_without_a_ready_worker_is_503() -> None:
    """While the only worker of a model is down, requests for it get 503 with Retry-After, not 404."""
    async with fake_worker(model="a") as one, fake_worker(model="b") as two:
        settings = Settings(worker=WorkerSettings(urls=(one.url, two.url), probe_interval_s=60))
        async with gateway(settings) as url, aiohttp.ClientSession() as http:
            async with asyncio.timeout(30):
                while (await ask(http, url, {"model": "b", "messages": []}))[0] != 200:
                    await asyncio.sleep(0.02)
            two.resets = True
            assert (await ask(http, url, {"model": "b", "messages": []}))[0] == 502
            assert (await ask(http, url, {"model": "c", "messages": []}))[0] == 404


ANSWERS = b'{"choices": [{"index": 0, "message": {"content": "3"}}, {"index": 1, "message": {"content": "4"}}]}'


async def test_requests_add_to_the_retry_budget() -> None:
    """Each request adds the ratio of 0.5 to the budget, and a batch that is answered adds it for each chat.

    The chats of a batch that isn't answered add theirs when they go one by one.
    """
    for reply, size, expected in ((Reply(), 0, 1), (Reply(first_chunk=ANSWERS), 2, 2), (rejection(400), 2, 0)):
        fleet = ScriptedFleet([[reply]], max_retry_budget=9, budget_ratio=0.5)
        await fleet.start()
        while fleet.budget.try_spend():
            pass
        for _ in range(2):
            if size:
                with suppress(BatchUnanswered):
                    await fleet.dispatcher.dispatch_batch("scripted", batch(size, "a"))
            else:
                (await fleet.dispatcher.dispatch("scripted", request("a"))).close()
        assert sum(fleet.budget.try_spend() for _ in range(9)) == expected


async def test_workers_are_ranked_by_what_a_request_costs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate has the load, the weight, and the cost of the pixels that the worker doesn't hold."""
    fleet = ScriptedFleet([[Reply()]] * 2)
    first, second = await fleet.start()
    ranked: list[Any] = []

    def rank(candidates: Candidates, image_key: str | None, model: str) -> Iterator[int]:
        fleet_of, loads, costs, holders, failing = candidates
        assert costs is not None
        groups = {weight: group.tolist() for weight, group in fleet_of.groups.items()}
        ranked.append((groups, loads.tolist(), costs.tolist(), holders, failing, image_key, model))
        return iter([1, 0])

    monkeypatch.setattr(fleet.router, "rank", rank)
    asked = request("a", "b")
    second.known_images.add(asked.image_ids, {})
    second.weight = 0.5
    for _ in range(3):
        first.record_outcome(Timeout("slow"))
    receipt = asked.receipt = RouteReceipt()
    (await fleet.dispatcher.dispatch("scripted", asked)).close()
    image_cost = first.load.prefill_cost.of(2 * 4 * 4)
    assert image_cost > 0
    assert ranked == [
        ({1.0: [0], 0.5: [1]}, [0.0, 100.0], [1 + image_cost, 1.0], [1], [0], asked.image_ids[0], "scripted")
    ]
    assert (len(fleet.clients[0].calls), len(fleet.clients[1].calls)) == (0, 1)
    assert (set(asked.ranked), receipt.policies, receipt.workers) == ({first, second}, {"least_load"}, {"<http://b>"})


async def test_no_worker_of_a_model_is_an_error() -> None:
    """If the last worker of a model leaves before the request is dispatched, the caller may retry in 2 s."""
    fleet = ScriptedFleet([[Reply()]])
    await fleet.start()
    with pytest.raises(NoWorkerAvailable, match="is left") as missing:
        await fleet.dispatcher.dispatch("other", request())
    assert missing.value.retry_after == 2


@pytest.mark.parametrize(("store", "sent"), [(False, 2), (True, 1)])
async def test_the_second_worker_gets_a_hedge(store: bool, sent: int) -> None:
    """A worker that doesn't answer for 10 ms is hedged, unless the request stores; the loser keeps no load."""
    answered = asyncio.Event()
    fleet = ScriptedFleet([[answered, Reply()], [Reply()]], hedge_after_s=0.01)
    first, second = await fleet.start()
    asking = asyncio.create_task(fleet.dispatcher.dispatch("scripted", request(store=store)))
    if store:
        await asyncio.sleep(0.05)
        answered.set()
    (await asking).close()
    assert [len(client.calls) for client in fleet.clients] == [1, sent - 1]
    assert (first.load.in_flight, second.load.in_flight) == (0, 0)
    assert fleet.counts("retries") == ({} if store else {"hedge": 1})


async def test_the_loser_of_a_hedge_is_closed() -> None:
    """If both workers of a hedged request answer at once, the response of one is closed, and neither keeps load."""
    answered, replies = asyncio.Event(), (Reply(), Reply())
    fleet = ScriptedFleet([[answered, reply] for reply in replies], hedge_after_s=0.01)
    workers = await fleet.start()
    asking = asyncio.create_task(fleet.dispatcher.dispatch("scripted", request()))
    while not fleet.clients[1].calls:
        await asyncio.sleep(0.001)
    answered.set()
    dispatched = await asking
    assert sorted(reply.closed for reply in replies) == [0, 1]
    dispatched.close()
    assert [reply.closed for reply in replies] == [1, 1]
    assert [worker.load.in_flight for worker in workers] == [0, 0]


async def test_the_receipt_names_the_policy_that_ranked() -> None:
    """With affinity, a request about an image is ranked by it, and one without an image by load."""
    fleet = ScriptedFleet([[Reply()]], policy="affinity")
    await fleet.start()
    for images, policy in ((("a",), "affinity"), ((), "least_load")):
        asked = request(*images)
        receipt = asked.receipt = RouteReceipt()
        (await fleet.dispatcher.dispatch("scripted", asked)).close()
        assert receipt.policies == {policy}


async def test_one_request_leads_for_all_of_its_images() -> None:
    """A second request for the same images waits for the first, and one for other images doesn't."""
    first, other = asyncio.Event(), asyncio.Event()
    other.set()
    fleet = ScriptedFleet([[first, Reply()], [Reply()]])
    await fleet.start()
    leader = asyncio.create_task(fleet.dispatcher.dispatch("scripted", request("a", "b")))
    while not fleet.clients[0].calls:
        await asyncio.sleep(0)
    follower = asyncio.create_task(fleet.dispatcher.dispatch("scripted", request("a", "b")))
    separate = asyncio.create_task(fleet.dispatcher.dispatch("scripted", request("b", "a")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(fleet.clients[0].calls) == 2
    first.set()
    for task in (leader, follower, separate):
        (await task).close()
    assert len(fleet.clients[0].calls) == 3
    assert len(fleet.coalescer) == 0
    assert fleet.counts("images_sent") == {"data": 4, "id": 2}


@pytest.mark.parametrize(
    ("outcome", "result", "exists", "sent"),
    [
        (Reply(first_chunk=ANSWERS), "answered", True, 1),
        (rejection(404), "rejected", False, 1),
        (rejection(405), "rejected", False, 1),
        (rejection(400), "rejected", None, 1),
        (Reply(), "rejected", False, 1),
        (rejection(500), "failed", False, 1),
        (Timeout("slow"), "failed", False, 1),
        (rejection(429), "rejected", None, 2),
    ],
)
async def test_what_a_batch_shows_about_its_worker(
    outcome: Reply | Exception, result: str, exists: bool | None, sent: int
) -> None:
    """Answers show the batch route, failures show none, and a rejection may be due to a question.

    Two chats count by the result; a batch that was rejected costs two retries, and only a full worker sends it on.
    """
    fleet = ScriptedFleet([[outcome], [Reply(first_chunk=ANSWERS)]])
    first, second = await fleet.start()
    asked = batch(2, "a")
    if result == "answered" or sent == 2:
        completions = await fleet.dispatcher.dispatch_batch("scripted", asked)
        assert [completion.text for completion in completions] == ["3", "4"]
    else:
        with pytest.raises(BatchUnanswered) as unanswered:
            await fleet.dispatcher.dispatch_batch("scripted", asked)
        assert (unanswered.value.failure is None) == (result == "rejected")
        assert unanswered.value.ranked == ((first, second) if result == "failed" else ())
    assert first.batch_route.exists is exists
    assert [len(client.calls) for client in fleet.clients] == [1, sent - 1]
    assert fleet.counts("batches") == ({result: 2} if sent == 1 else {"rejected": 2, "answered": 2})
    retries = {"declined": 1} if sent == 2 else {"batch": 2} if result == "rejected" else {}
    assert fleet.counts("retries") == retries
    assert (len(first.known_images), len(fleet.coalescer)) == (int(result == "answered"), 0)
    assert (first.load.in_flight, second.load.in_flight) == (0, 0)


async def test_a_worker_without_the_batch_route_gets_no_batch() -> None:
    """If the first worker has no batch route, the batch goes to no other worker."""
    fleet = ScriptedFleet([[Reply()], [Reply(first_chunk=ANSWERS)]])
    first, _ = await fleet.start()
    first.batch_route.on_missing()
    with pytest.raises(BatchUnanswered):
        await fleet.dispatcher.dispatch_batch("scripted", batch(2, "a"))
    assert [client.calls for client in fleet.clients] == [[], []]


@pytest.mark.parametrize("budget", [0, 1])
async def test_a_chat_of_a_failed_batch_visits_one_more_worker(budget: int) -> None:
    """After a failed batch, a chat costs one retry and visits the remaining worker only; without budget it fails."""
    fleet = ScriptedFleet([[Timeout("slow")], [WorkerFailed("closed")], [Reply()]], max_retry_budget=budget)
    _, second, third = await fleet.start()
    unanswered = BatchUnanswered(Timeout("slow"), [second, third], [second])
    asked = request("a")
    with pytest.raises(Timeout if not budget else WorkerFailed):
        await fleet.dispatcher.dispatch_after_batch("scripted", asked, unanswered)
    assert [len(client.calls) for client in fleet.clients] == [0, budget, 0]
    assert fleet.counts("retries") == ({"timeout": 1} if budget else {})
    assert asked.ranked == (second,)


async def test_a_chat_of_a_batch_that_no_worker_processed_is_dispatched() -> None:
    """After a rejected batch, a chat is a request as any other; after a failed one without other workers, it fails."""
    fleet = ScriptedFleet([[Reply()]])
    await fleet.start()
    (await fleet.dispatcher.dispatch_after_batch("scripted", request("a"), BatchUnanswered())).close()
    assert fleet.counts("retries") == {}
    with pytest.raises(Timeout):
        await fleet.dispatcher.dispatch_after_batch("scripted", request("a"), BatchUnanswered(Timeout("slow")))
    assert len(fleet.clients[0].calls) == 1
    assert sum(fleet.budget.try_spend() for _ in range(101)) == 100
