"""Routing: which worker gets a request, what the gateway sends it, and how worker failures appear to callers."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from sarlens.settings import AdmissionSettings, RenderSettings, RoutingSettings, Settings, WorkerSettings
from support.fleet import ask, fleet, question
from support.gateway import gateway
from support.workers.fake_worker import MODEL, fake_worker


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
            render=RenderSettings(sizes={MODEL: 256}),
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
