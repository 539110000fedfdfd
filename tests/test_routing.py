"""Which worker is asked, what it is sent, and what a caller notices of workers that fail."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from PIL import Image

from sarlens.settings import RoutingSettings, Settings, WorkerSettings
from stack.fake_worker import MODEL, FakeWorker, fake_worker
from stack.gateway import gateway


def question(number: int = 0, text: str = "How many ships?", **more: Any) -> dict[str, Any]:
    """A chat about one of many pictures, its text before the image."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64), number % 256).save(buffer, "png", pnginfo=None)
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue() + str(number).encode()).decode()}"
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


async def ask(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """Ask, and read to the end."""
    async with http.post(f"{url}/v1/chat/completions", json=body) as response:
        return response.status, await response.read()


@asynccontextmanager
async def fleet(
    number: int, routing: RoutingSettings | None = None, **worker: Any
) -> AsyncIterator[tuple[str, list[FakeWorker], aiohttp.ClientSession]]:
    """A gateway before some fake workers."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(fake_worker()) for _ in range(number)]
        given = WorkerSettings(urls=tuple(each.url for each in workers), **{"probe_s": 60, **worker})
        url = await stack.enter_async_context(
            gateway(Settings(worker=given, routing=routing or RoutingSettings(retry_reserve=10_000)))
        )
        yield url, workers, await stack.enter_async_context(aiohttp.ClientSession())


async def test_questions_about_an_image_go_where_it_is() -> None:
    """Forty images with six questions each: every image is sent to one worker, once, and both workers have some."""
    async with fleet(2) as (url, workers, http):
        for n in range(6):
            for number in range(40):
                assert (await ask(http, url, question(number, f"Question {n}?")))[0] == 200
        assert sum(worker.shown for worker in workers) == 40
        assert all(10 <= worker.shown <= 30 for worker in workers)


async def test_a_worker_gets_the_bytes_once() -> None:
    """The second question about an image carries its id and no data, and the image stands before the text."""
    async with fleet(1) as (url, [worker], http):
        for _ in range(2):
            assert (await ask(http, url, question()))[0] == 200
        first, second = (body["messages"][0]["content"] for body in worker.requests)
        assert [part["type"] for part in first] == ["image_url", "text"]
        assert first[0]["image_url"]["url"].startswith("data:image/")
        assert second[0] == {"type": "image_url", "image_url": None, "uuid": first[0]["uuid"]}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_that_forgot_is_sent_the_data(stream: bool) -> None:
    """When a worker has lost an image, the same request goes again with the data, and the caller sees an answer."""
    async with fleet(1) as (url, [worker], http):
        await ask(http, url, question())
        worker.known.clear()
        status, said = await ask(http, url, question(stream=stream))
        assert status == 200
        assert b"ships" in said
        assert (worker.shown, len(worker.bodies)) == (2, 3)
        async with http.get(f"{url}/metrics") as response:
            assert 'sarlens_pictures_sent_total{form="missed"} 1.0' in await response.text()


async def test_several_images_keep_their_places() -> None:
    """Where a message holds two images, their order with the text is meaning and stays."""
    one, two = question(1)["messages"][0]["content"], question(2)["messages"][0]["content"]
    body = {"model": MODEL, "messages": [{"role": "user", "content": one + two}]}
    async with fleet(1) as (url, [worker], http):
        assert (await ask(http, url, body))[0] == 200
        sent = worker.requests[0]["messages"][0]["content"]
        assert [part["type"] for part in sent] == ["text", "image_url", "text", "image_url"]


async def test_one_question_about_a_new_image_leads() -> None:
    """Eight questions at once about an image nobody has: one brings it, and no worker is sent it twice."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.pause_s = 0.02
        answers = await asyncio.gather(*(ask(http, url, question(text=f"{n}?")) for n in range(8)))
        assert {status for status, _ in answers} == {200}
        assert sum(worker.shown for worker in workers) < 5
        assert min(len(worker.bodies) for worker in workers) >= 2


async def test_a_hot_image_spreads() -> None:
    """When everybody asks about one image, other workers come to have it too, and none carries too much."""
    async with fleet(4) as (url, workers, http):
        for worker in workers:
            worker.pause_s = 0.01
        await asyncio.gather(*(ask(http, url, question(text=f"{n}?")) for n in range(200)))
        shares = [len(worker.bodies) / 50 for worker in workers]
        assert max(shares) <= 1.3
        assert all(worker.shown for worker in workers)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["hangs", "resets", "fails", "truncates"])
async def test_a_faulty_worker_costs_the_caller_nothing(fault: str, stream: bool) -> None:
    """A worker that never answers, cuts connections, or fails, before its first byte, is passed over unseen."""
    async with fleet(2, first_token_s=0.3, answer_s=0.3) as (url, [bad, _], http):
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


async def test_a_worker_that_cuts_streams_is_left_alone() -> None:
    """Streams that break midway open a worker's breaker, so that few callers meet it before others are asked."""
    async with fleet(2) as (url, [bad, _], http):
        bad.dies_after = 2
        answers = [await ask(http, url, question(n, stream=True)) for n in range(40)]
        assert {status for status, _ in answers} == {200}
        assert sum(b"error" in said for _, said in answers) == 3


async def test_the_last_workers_own_words_reach_the_caller() -> None:
    """When every worker fails alike, the caller reads the worker's error; where all are full, when to come again."""
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


async def test_a_caller_who_leaves_between_workers_leaves_no_load_behind() -> None:
    """Whoever goes away while a second worker is asked takes the first one's burden along."""
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


async def test_retries_end_when_the_budget_does() -> None:
    """A fleet that fails is not sent its load twice: with no budget, a failure is told at once."""
    async with fleet(3, RoutingSettings(retry_reserve=0, retry_share=0)) as (url, workers, http):
        for worker in workers:
            worker.resets = True
        assert (await ask(http, url, question()))[0] == 502
        assert sum(len(worker.bodies) for worker in workers) <= 2


async def test_a_slow_worker_is_hedged() -> None:
    """With hedging on, a second worker answers for a slow one, whose generation is aborted."""
    async with fleet(2, RoutingSettings(hedge_s=0.05)) as (url, workers, http):
        await ask(http, url, question())
        slow = next(worker for worker in workers if worker.bodies)
        slow.hangs = True
        async with asyncio.timeout(30):
            assert (await ask(http, url, question()))[0] == 200
            while slow.running:
                await asyncio.sleep(0.01)
        assert slow.aborted == 1


async def test_the_model_of_a_lost_worker_is_not_unknown() -> None:
    """While the only worker with a model is away, asking for it is 503 with a time to try again, not 404."""
    async with fake_worker(model="a") as one, fake_worker(model="b") as two:
        settings = Settings(worker=WorkerSettings(urls=(one.url, two.url), probe_s=60))
        async with gateway(settings) as url, aiohttp.ClientSession() as http:
            async with asyncio.timeout(30):
                while (await ask(http, url, {"model": "b", "messages": []}))[0] != 200:
                    await asyncio.sleep(0.02)
            two.resets = True
            assert (await ask(http, url, {"model": "b", "messages": []}))[0] == 502
            assert (await ask(http, url, {"model": "c", "messages": []}))[0] == 404
