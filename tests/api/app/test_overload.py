"""The gateway under load, at a deadline, and while it drains."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sarlens.settings import AdmissionSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}


async def post(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, bytes]:
    """Send a chat and read the response to its end."""
    async with http.post(f"{url}/v1/chat/completions", json={**CHAT, **more}, headers=headers) as response:
        return response.status, await response.read()


@asynccontextmanager
async def small_gateway(**admission: Any) -> AsyncIterator[tuple[str, FakeWorker, aiohttp.ClientSession]]:
    """A gateway with these limits in front of a worker that takes 0.2 s."""
    async with fake_worker(pause_s=0.05) as worker, aiohttp.ClientSession() as http:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), admission=AdmissionSettings(**admission))
        async with gateway(settings) as url:
            yield url, worker, http


async def test_too_many_requests_are_rejected() -> None:
    """Two requests run, two wait, and all others are 503 within 50 ms; later requests are answered again."""
    async with small_gateway(max_requests_per_worker=2, max_queued=2) as (url, worker, http):
        worker.hangs = True
        first = [asyncio.create_task(post(http, url)) for _ in range(4)]
        async with asyncio.timeout(30):
            while worker.running < 2:
                await asyncio.sleep(0.01)
        await until_queued(http, url, 2)
        for _ in range(5):
            began = time.monotonic()
            async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (503, "overloaded")
                assert int(response.headers["Retry-After"]) >= 1
            assert time.monotonic() - began < 0.05
        worker.hangs = False
        assert {status for status, _ in await asyncio.gather(*first)} == {200}
        assert (await post(http, url))[0] == 200
        assert len(worker.bodies) == 5


async def until_queued(http: aiohttp.ClientSession, url: str, requests: int) -> None:
    """Wait until that many requests are in the queue."""
    async with asyncio.timeout(30):
        while True:
            async with http.get(f"{url}/metrics") as response:
                if f"sarlens_queued_requests {float(requests)}" in await response.text():
                    return
            await asyncio.sleep(0.01)


async def test_retry_after_grows_with_the_queue() -> None:
    """Retry-After is the length of the queue plus one, times the mean duration of a request, in whole seconds."""
    async with small_gateway(max_requests_per_worker=1, max_queued=40) as (url, worker, http):
        worker.pause_s = 0.2
        began = time.monotonic()
        assert (await post(http, url))[0] == 200
        longest_s = time.monotonic() - began
        worker.hangs = True
        waiting = [asyncio.create_task(post(http, url)) for _ in range(41)]
        await until_queued(http, url, 40)
        async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
            assert response.status == 503
            # The mean moves by a sixteenth of each request's duration, of which there was one of at least 0.8 s.
            assert math.ceil(41 * 0.8 / 16) <= int(response.headers["Retry-After"]) <= math.ceil(41 * longest_s / 16)
        for request in waiting:
            request.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_bodies_use_bounded_memory() -> None:
    """While another body uses the memory, a further one is 503 with Retry-After 1."""
    async with small_gateway(max_body_bytes=3000, max_client_body_ratio=1.0) as (url, worker, http):
        first = asyncio.create_task(post(http, url, user="x" * 2000))
        async with asyncio.timeout(30):
            while not worker.running:
                await asyncio.sleep(0.01)
        async with http.post(f"{url}/v1/chat/completions", json={**CHAT, "user": "x" * 2000}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (503, "overloaded")
            assert response.headers["Retry-After"] == "1"
        assert (await first)[0] == 200
        assert (await post(http, url, user="x" * 2000))[0] == 200


@pytest.mark.parametrize(
    ("deadline", "status"),
    [("-1", 400), ("soon", 400), ("1e300", 400), ("nan", 400), ("0", 408), ("1700000000.5", 408)],
)
async def test_an_invalid_or_past_deadline_is_rejected(deadline: str, status: int) -> None:
    """A malformed deadline is 400 and one in the past 408, before a worker gets the request."""
    async with small_gateway() as (url, worker, http):
        assert (await post(http, url, {"X-Request-Deadline": deadline}))[0] == status
        assert not worker.bodies


@pytest.mark.parametrize("stream", [True, False])
async def test_a_deadline_aborts_the_generation(stream: bool) -> None:
    """At the deadline the gateway aborts the generation; the response is 408, or an error event in a stream."""
    async with small_gateway() as (url, worker, http):
        worker.pause_s = 20.0
        status, body = await post(http, url, {"X-Request-Deadline": f"{time.time() + 0.5:.3f}"}, stream=stream)
        assert (status, b"deadline_passed" in body) == (200 if stream else 408, True)
        async with asyncio.timeout(30):
            while worker.running:
                await asyncio.sleep(0.01)


async def gateway_process(worker: FakeWorker, *more: str) -> tuple[asyncio.subprocess.Process, str]:
    """A gateway process and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["-m", "sarlens", "serve", "--worker", worker.url, "--port", str(port), *more]
    return await asyncio.create_subprocess_exec(sys.executable, *command), f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("grace", "code"), [("10", 0), ("0.2", 3)])
async def test_open_streams_complete_during_a_drain(monkeypatch: pytest.MonkeyPatch, grace: str, code: int) -> None:
    """After SIGTERM requests are 503. An open stream completes, or is aborted at the timeout with exit code 3."""
    monkeypatch.setenv("SARLENS_DRAIN_TIMEOUT_S", grace)
    async with fake_worker(pause_s=0.5) as worker, aiohttp.ClientSession() as http:
        process, url = await gateway_process(worker)
        try:
            async with asyncio.timeout(30):
                while not await answers(http, f"{url}/health", 200):
                    await asyncio.sleep(0.05)
            stream = asyncio.create_task(post(http, url, stream=True))
            while not worker.running:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            if not code:
                assert await answers(http, f"{url}/readyz", 503)
                async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                    assert (response.status, (await response.json())["error"]["code"]) == (503, "draining")
                    assert response.headers["Retry-After"] == "1"
            results = await asyncio.gather(stream, return_exceptions=True)
            assert (b"[DONE]" in str(results).encode()) is (code == 0)
            assert await asyncio.wait_for(process.wait(), 10) == code
        finally:
            if process.returncode is None:
                process.kill()


async def answers(http: aiohttp.ClientSession, url: str, status: int) -> bool:
    """Whether a page has that status."""
    try:
        async with http.get(url) as response:
            return response.status == status
    except aiohttp.ClientError:
        return False


@pytest.mark.slow
async def test_several_processes_serve_one_port() -> None:
    """Processes share port and metrics; a killed one is replaced; SIGTERM ends them all with exit code 0."""
    async with fake_worker() as worker:
        process, url = await gateway_process(worker, "--processes", "2")
        try:
            async with asyncio.timeout(60):
                async with aiohttp.ClientSession() as http:
                    while not await answers(http, f"{url}/health", 200):
                        await asyncio.sleep(0.1)
                children = children_of(process.pid)
                assert len(children) == 2
                os.kill(children[0], signal.SIGKILL)
                while not set(children_of(process.pid)) - set(children):
                    await asyncio.sleep(0.1)
                statuses = []
                for _ in range(20):
                    async with aiohttp.ClientSession() as http:
                        statuses.append((await post(http, url))[0])
                assert set(statuses) <= {200, 503}
                served = statuses.count(200)
                assert served
                async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
                    page = await response.text()
                line = 'sarlens_requests_total{outcome="answered",route="/v1/chat/completions",status="200"}'
                assert f"{line} {served}.0" in page
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
        finally:
            if process.returncode is None:
                process.kill()


def children_of(pid: int) -> list[int]:
    """Serving processes that a process started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
