"""The front door under load, at a deadline, and when the gateway goes down."""

from __future__ import annotations

import asyncio
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
from stack.fake_worker import MODEL, FakeWorker, fake_worker
from stack.gateway import gateway

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}


async def ask(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, bytes]:
    """Ask, and read to the end."""
    async with http.post(f"{url}/v1/chat/completions", json={**CHAT, **more}, headers=headers) as response:
        return response.status, await response.read()


@asynccontextmanager
async def small_gateway(**given: Any) -> AsyncIterator[tuple[str, FakeWorker, aiohttp.ClientSession]]:
    """A gateway with little room before a worker that takes 0.2 s."""
    async with fake_worker(pause_s=0.05) as worker, aiohttp.ClientSession() as http:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), admission=AdmissionSettings(**given))
        async with gateway(settings) as url:
            yield url, worker, http


async def test_too_many_are_refused_with_a_time_to_come_again() -> None:
    """Two work, two wait, and all others are refused within 50 ms; afterwards everybody is served again."""
    async with small_gateway(requests=2, queue=2) as (url, worker, http):
        worker.hangs = True
        first = [asyncio.create_task(ask(http, url)) for _ in range(4)]
        async with asyncio.timeout(30):
            while worker.running < 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # the other two arrive
        for _ in range(5):
            began = time.monotonic()
            async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (503, "overloaded")
                assert int(response.headers["Retry-After"]) >= 1
            assert time.monotonic() - began < 0.05
        worker.hangs = False
        assert {status for status, _ in await asyncio.gather(*first)} == {200}
        assert (await ask(http, url))[0] == 200
        assert len(worker.bodies) == 5


async def test_bodies_fill_only_the_memory_they_may() -> None:
    """While other bodies hold the memory a further one is refused from its announced length alone."""
    async with small_gateway(body_bytes=3000) as (url, _, http):
        first = asyncio.create_task(ask(http, url, user="x" * 2000))
        await asyncio.sleep(0.05)
        assert (await ask(http, url, user="x" * 2000))[0] == 503
        assert (await first)[0] == 200
        assert (await ask(http, url, user="x" * 2000))[0] == 200


@pytest.mark.parametrize(
    ("deadline", "status"),
    [("-1", 400), ("soon", 400), ("1e300", 400), ("nan", 400), ("0", 408), ("1700000000.5", 408)],
)
async def test_a_deadline_that_is_none_or_over_is_refused(deadline: str, status: int) -> None:
    """What is no time is a bad request; a time that is over is 408, before any worker hears of it."""
    async with small_gateway() as (url, worker, http):
        assert (await ask(http, url, {"X-Request-Deadline": deadline}))[0] == status
        assert not worker.bodies


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_comes_too_late_is_cut(stream: bool) -> None:
    """At the deadline the generation is aborted; the caller gets 408, or an error event where a stream has begun."""
    async with small_gateway() as (url, worker, http):
        worker.pause_s = 20.0
        status, said = await ask(http, url, {"X-Request-Deadline": f"{time.time() + 0.5:.3f}"}, stream=stream)
        assert (status, b"deadline_passed" in said) == (200 if stream else 408, True)
        async with asyncio.timeout(30):
            while worker.running:
                await asyncio.sleep(0.01)


async def gateway_process(worker: FakeWorker, *more: str) -> tuple[asyncio.subprocess.Process, str]:
    """A gateway of its own and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["-m", "sarlens", "serve", "--worker", worker.url, "--port", str(port), *more]
    return await asyncio.create_subprocess_exec(sys.executable, *command), f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("grace", "code"), [("10", 0), ("0.2", 3)])
async def test_open_streams_finish_when_it_goes_down(monkeypatch: pytest.MonkeyPatch, grace: str, code: int) -> None:
    """After SIGTERM it is not ready and refuses work, while a stream goes on; the exit code tells if it was cut."""
    monkeypatch.setenv("SARLENS_DRAIN_S", grace)
    async with fake_worker(pause_s=0.5) as worker, aiohttp.ClientSession() as http:
        process, url = await gateway_process(worker)
        try:
            async with asyncio.timeout(30):
                while not await answers(http, f"{url}/readyz", 200):
                    await asyncio.sleep(0.05)
            stream = asyncio.create_task(ask(http, url, stream=True))
            while not worker.running:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            if not code:
                assert await answers(http, f"{url}/readyz", 503)
                assert (await ask(http, url))[0] == 503
            said = await asyncio.gather(stream, return_exceptions=True)
            assert (b"[DONE]" in str(said).encode()) is (code == 0)
            assert await asyncio.wait_for(process.wait(), 10) == code
        finally:
            if process.returncode is None:
                process.kill()


async def answers(http: aiohttp.ClientSession, url: str, status: int) -> bool:
    """Whether a page answers with that status."""
    try:
        async with http.get(url) as response:
            return response.status == status
    except aiohttp.ClientError:
        return False


async def test_several_processes_serve_one_port() -> None:
    """Processes share the port and their metrics; one that is killed is replaced; SIGTERM ends all with exit code 0."""
    async with fake_worker() as worker:
        process, url = await gateway_process(worker, "--processes", "2")
        try:
            async with asyncio.timeout(60):
                async with aiohttp.ClientSession() as http:
                    while not await answers(http, f"{url}/readyz", 200):
                        await asyncio.sleep(0.1)
                children = children_of(process.pid)
                assert len(children) == 2
                os.kill(children[0], signal.SIGKILL)
                while not set(children_of(process.pid)) - set(children):
                    await asyncio.sleep(0.1)
                statuses = []
                for _ in range(20):
                    async with aiohttp.ClientSession() as http:
                        statuses.append((await ask(http, url))[0])
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
    """Processes that another one started and that serve."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
