"""The metrics page of a gateway after known requests."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from typing import Any

import aiohttp
import pytest

from sarlens.observability.metrics import outcome_of
from sarlens.settings import AdmissionSettings, S3Settings, Settings, WorkerSettings
from support.gateway import gateway
from support.pictures import DATA_URL, PNG
from support.s3 import S3Server
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

CHAT = "/v1/chat/completions"


def question(url: str, **more: Any) -> dict[str, Any]:
    """A chat about the image at a URL."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "How many ships?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


async def post(base: str, body: dict[str, Any], path: str = CHAT, headers: dict[str, str] | None = None) -> int:
    """Send a request and read the response to its end; its status."""
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body, headers=headers) as response:
        await response.read()
        return response.status


async def samples(base: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of their labels in the order of the labels' names."""
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
        page = await response.text()
    lines = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", page, re.MULTILINE)
    return {tuple(re.findall(r'="([^"]*)"', labels)): float(value) for labels, value in lines}


async def test_bytes_not_sent_are_counted(url: str, worker: FakeWorker) -> None:
    """The second and third question about an image are hits, and save the bytes of the image twice."""
    for _ in range(3):
        assert await post(url, question(DATA_URL)) == 200
    sent = worker.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    size = len(base64.b64decode(sent.partition(",")[2]))
    assert await samples(url, "sarlens_worker_affinity_requests_total") == {
        ("hit", worker.url): 2.0,
        ("miss", worker.url): 1.0,
    }
    assert await samples(url, "sarlens_worker_elided_bytes_total") == {(worker.url,): 2.0 * size}


async def test_an_image_that_left_a_workers_cache_is_a_miss(url: str, worker: FakeWorker) -> None:
    """If a worker has dropped an image from its cache, the request is a miss and saves nothing."""
    await post(url, question(DATA_URL))
    worker.known.clear()
    assert await post(url, question(DATA_URL)) == 200
    assert await samples(url, "sarlens_worker_affinity_requests_total") == {
        ("hit", worker.url): 0.0,
        ("miss", worker.url): 2.0,
    }
    assert await samples(url, "sarlens_worker_elided_bytes_total") == {(worker.url,): 0.0}


async def test_an_open_breaker_is_shown(worker: FakeWorker) -> None:
    """The gauge is 1 from the failure that opens the breaker to the next success, and each failure counts."""
    settings = WorkerSettings(urls=(worker.url,), breaker_failure_threshold=2, breaker_reset_timeout_s=0.1)
    async with gateway(Settings(worker=settings)) as url:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
        shown = []
        worker.fails_with = (500, '{"error": {"message": "no"}}')
        for _ in range(2):
            assert await post(url, body) == 500
            shown.append((await samples(url, "sarlens_worker_breaker_open"))[worker.url,])
        worker.fails_with = None
        assert await post(url, body) == 200
        shown.append((await samples(url, "sarlens_worker_breaker_open"))[worker.url,])
        assert shown == [0, 1, 0]
        assert (await samples(url, "sarlens_worker_failures_total"))[worker.url,] == 2


async def test_outcomes_are_counted(url: str, worker: FakeWorker) -> None:
    """A stream that breaks off counts as failed under the 200 that was sent; a client's mistake counts as refused."""
    worker.dies_after = 2
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    assert await post(url, body | {"stream": True}) == 200
    worker.dies_after = None
    assert await post(url, body) == 200
    assert await post(url, body | {"model": "another"}) == 404
    assert await post(url, {}, "/v1/sar/nothing") == 404
    requests = await samples(url, "sarlens_requests_total")
    assert {labels: value for labels, value in requests.items() if labels[1] != "/health"} == {
        ("failed", CHAT, "200"): 1,
        ("answered", CHAT, "200"): 1,
        ("refused", CHAT, "404"): 1,
        ("refused", "other", "404"): 1,
    }


async def test_rejections_are_counted_by_reason(worker: FakeWorker) -> None:
    """A full queue, a long wait in it, a deadline during the wait and a body without memory are counted apart."""
    worker.hangs = True
    admission = AdmissionSettings(max_requests_per_worker=1, max_queued=1, queue_timeout_s=2, max_body_bytes=2**20)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)), admission=admission)) as url:
        first = asyncio.create_task(post(url, body))
        while not worker.running:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(post(url, body))
        while not (await samples(url, "sarlens_queued_requests"))[()]:
            await asyncio.sleep(0.01)
        assert await post(url, body) == 503
        assert await second == 503
        assert await post(url, {**body, "user": "x" * 2**20}) == 503
        assert await post(url, body, headers={"X-Request-Deadline": f"{time.time() + 0.3:.3f}"}) == 408
        worker.hangs = False
        assert await first == 200
        assert await samples(url, "sarlens_shed_requests_total") == {
            ("queue_full",): 1,
            ("key_queue_full",): 0,
            ("queue_timeout",): 1,
            ("memory",): 1,
            ("client_memory",): 0,
            ("outranked",): 0,
            ("fair_share",): 0,
            ("deadline",): 1,
        }


async def test_reads_of_a_store_are_counted(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A found image, a missing one and rejected credentials are counted, each by its code."""
    s3.client().put_object(Bucket="scenes", Key="metrics.png", Body=PNG)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    async with fake_worker() as worker:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), s3=S3Settings(endpoint=s3.endpoint))
        async with gateway(settings) as url:
            assert await post(url, question("s3://scenes/metrics.png")) == 200
            assert await post(url, question("s3://scenes/nothing.png")) == 404
            assert await post(url, question("ftp://scenes/nothing.png")) == 400
            assert await samples(url, "sarlens_source_requests_total") == {
                ("image_not_found", "s3"): 1,
                ("found", "s3"): 1,
            }
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        async with gateway(settings) as url:
            assert await post(url, question("s3://scenes/metrics.png")) == 502
            assert await samples(url, "sarlens_source_requests_total") == {("store_credentials", "s3"): 1}


async def test_errors_are_counted_by_code(url: str, worker: FakeWorker) -> None:
    """Each error that a client receives counts once by its code, on the bare ASGI routes and FastAPI's."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    assert await post(url, {**body, "model": "another"}) == 404
    assert await post(url, {"image": DATA_URL, "questions": []}, "/v1/sar/vqa") == 400
    assert await post(url, {"image": DATA_URL}, "/v1/sar/nothing") == 404
    assert await post(url, {**body, "temperature": -1}) == 400
    worker.fails_with = (500, "<html>")
    assert await post(url, body) == 502
    errors = await samples(url, "sarlens_errors_total")
    # A health check before the worker was ready.
    errors.pop(("no_worker",), None)
    assert errors == {
        ("model_not_found",): 1,
        ("bad_request",): 1,
        ("not_found",): 1,
        ("worker_answered_error",): 1,
        ("worker_failed",): 1,
    }


async def test_tokens_and_stages_are_counted(url: str) -> None:
    """Two answers add twice the tokens that the worker states, and two observations of the worker's stage."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    for _ in range(2):
        assert await post(url, body) == 200
    assert await samples(url, "sarlens_tokens_total") == {("prompt", MODEL): 140, ("completion", MODEL): 8}
    assert await samples(url, "sarlens_stage_duration_seconds_count") == {("worker",): 2}
    durations = await samples(url, "sarlens_request_duration_seconds_count")
    assert durations["answered", CHAT] == 2


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "answered"), (399, "answered"), (400, "refused"), (408, "refused"), (499, "gone"), (500, "failed")],
)
def test_a_status_has_an_outcome(status: int, outcome: str) -> None:
    """A status below 400 is an answer, one below 500 the client's fault, except 499 for a client that left."""
    assert outcome_of(status) == outcome


async def test_tokens_and_images_have_sizes(url: str, worker: FakeWorker) -> None:
    """Each response counts its 70 prompt and 4 output tokens, and an image its bytes once, while it is cached."""
    for _ in range(2):
        assert await post(url, question(DATA_URL)) == 200
    sent = worker.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    size = len(base64.b64decode(sent.partition(",")[2]))
    assert await samples(url, "sarlens_request_tokens_sum") == {("completion", MODEL): 8.0, ("prompt", MODEL): 140.0}
    assert await samples(url, "sarlens_request_tokens_count") == {("completion", MODEL): 2.0, ("prompt", MODEL): 2.0}
    assert await samples(url, "sarlens_picture_bytes_sum") == {(): float(size)}
    assert await samples(url, "sarlens_picture_bytes_count") == {(): 1.0}


async def test_a_process_shows_its_delays(url: str) -> None:
    """A block of the event loop for 0.3 s is a lag of 0.05 s or more, and no image is in a thread then."""
    async with asyncio.timeout(30):
        while not (await samples(url, "sarlens_event_loop_lag_seconds_count"))[()]:
            await asyncio.sleep(0.01)
        before = (await samples(url, "sarlens_event_loop_lag_seconds_sum"))[()]
        time.sleep(0.3)  # noqa: ASYNC251  the gateway runs in this event loop
        while (await samples(url, "sarlens_event_loop_lag_seconds_sum"))[()] < before + 0.05:
            await asyncio.sleep(0.01)
    assert await samples(url, "sarlens_image_tasks") == {(): 0.0}
