"""What the metrics page says of what has happened, on a real page of a gateway."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import aiohttp
import pytest

from sarlens.settings import AdmissionSettings, S3Settings, Settings, WorkerSettings
from stack.fake_worker import MODEL, FakeWorker, fake_worker
from stack.gateway import gateway
from stack.pictures import DATA_URL, PNG
from stack.s3 import S3Server

CHAT = "/v1/chat/completions"


def question(url: str, **more: Any) -> dict[str, Any]:
    """A chat about the image at a URL."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "How many ships?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


async def ask(base: str, body: dict[str, Any], path: str = CHAT) -> int:
    """The status of an answer, read to its end."""
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body) as response:
        await response.read()
        return response.status


async def samples(base: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of their labels in the order of the labels' names."""
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
        page = await response.text()
    lines = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", page, re.MULTILINE)
    return {tuple(re.findall(r'="([^"]*)"', labels)): float(value) for labels, value in lines}


async def test_bytes_that_were_not_sent_are_counted(url: str, worker: FakeWorker) -> None:
    """The second and the third question about an image are hits, and what they spared is twice the bytes sent first."""
    for _ in range(3):
        assert await ask(url, question(DATA_URL)) == 200
    sent = worker.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    size = len(base64.b64decode(sent.partition(",")[2]))
    assert await samples(url, "sarlens_worker_affinity_requests_total") == {
        ("hit", worker.url): 2.0,
        ("miss", worker.url): 1.0,
    }
    assert await samples(url, "sarlens_worker_elided_bytes_total") == {(worker.url,): 2.0 * size}


async def test_a_worker_that_forgot_is_no_hit(url: str, worker: FakeWorker) -> None:
    """Where a worker has lost an image, nothing was spared."""
    await ask(url, question(DATA_URL))
    worker.known.clear()
    assert await ask(url, question(DATA_URL)) == 200
    assert await samples(url, "sarlens_worker_affinity_requests_total") == {
        ("hit", worker.url): 0.0,
        ("miss", worker.url): 2.0,
    }
    assert await samples(url, "sarlens_worker_elided_bytes_total") == {(worker.url,): 0.0}


async def test_a_breaker_shows_while_it_is_open(worker: FakeWorker) -> None:
    """It shows from the failure that opens it to the next success, and each failure counts."""
    settings = WorkerSettings(urls=(worker.url,), breaker_failures=2, breaker_s=0.1)
    async with gateway(Settings(worker=settings)) as url:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
        shown = []
        worker.fails_with = (500, '{"error": {"message": "no"}}')
        for _ in range(2):
            assert await ask(url, body) == 500
            shown.append((await samples(url, "sarlens_worker_breaker_open"))[worker.url,])
        worker.fails_with = None
        assert await ask(url, body) == 200
        shown.append((await samples(url, "sarlens_worker_breaker_open"))[worker.url,])
        assert shown == [0, 1, 0]
        assert (await samples(url, "sarlens_worker_failures_total"))[worker.url,] == 2


async def test_a_stream_that_breaks_off_has_failed(url: str, worker: FakeWorker) -> None:
    """It counts as failed under the 200 that went out; what the caller did wrong counts as refused."""
    worker.dies_after = 2
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    assert await ask(url, body | {"stream": True}) == 200
    worker.dies_after = None
    assert await ask(url, body) == 200
    assert await ask(url, body | {"model": "another"}) == 404
    assert await ask(url, {}, "/v1/sar/nothing") == 404
    found = await samples(url, "sarlens_requests_total")
    assert {labels: value for labels, value in found.items() if labels[1] != "/readyz"} == {
        ("failed", CHAT, "200"): 1,
        ("answered", CHAT, "200"): 1,
        ("refused", CHAT, "404"): 1,
        ("refused", "other", "404"): 1,
    }


async def test_what_is_not_let_in_says_why(worker: FakeWorker) -> None:
    """A full queue, too long a wait in it, a deadline that comes meanwhile and bodies without room count apart."""
    worker.hangs = True
    admission = AdmissionSettings(requests=1, queue=1, queue_s=2, body_bytes=2**20)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)), admission=admission)) as url:
        first = asyncio.create_task(ask(url, body))
        while not worker.running:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(ask(url, body))
        while not (await samples(url, "sarlens_queued_requests"))[()]:
            await asyncio.sleep(0.01)
        assert await ask(url, body) == 503
        assert await second == 503
        assert await ask(url, {**body, "user": "x" * 2**20}) == 503
        worker.hangs = False
        assert await first == 200
        assert await samples(url, "sarlens_shed_requests_total") == {
            ("queue_full",): 1,
            ("queue_timeout",): 1,
            ("memory",): 1,
            ("outranked",): 0,
            ("deadline",): 0,
        }


async def test_what_a_store_does_is_counted(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that is found, one that is not there, and a store with other keys count by their codes."""
    s3.client().put_object(Bucket="scenes", Key="metrics.png", Body=PNG)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    async with fake_worker() as worker:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), s3=S3Settings(endpoint=s3.endpoint))
        async with gateway(settings) as url:
            assert await ask(url, question("s3://scenes/metrics.png")) == 200
            assert await ask(url, question("s3://scenes/nothing.png")) == 404
            assert await ask(url, question("ftp://scenes/nothing.png")) == 400
            found = await samples(url, "sarlens_source_requests_total")
            assert found == {("image_not_found", "s3"): 1, ("found", "s3"): 1}
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        async with gateway(settings) as url:
            assert await ask(url, question("s3://scenes/metrics.png")) == 502
            assert await samples(url, "sarlens_source_requests_total") == {("store_credentials", "s3"): 1}
