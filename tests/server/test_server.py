"""The server process: signals, drain and idle connections."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys

import aiohttp
import pytest

from sarlens.devstack.ports import free_port
from sarlens.server.server import tune_garbage_collection
from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway, until_it_answers
from support.workers.fake_worker import FakeWorker


async def test_a_signal_ends_the_gateway_with_exit_code_0(worker: FakeWorker) -> None:
    """After SIGTERM a gateway without open requests ends on its own, with exit code 0."""
    async with asyncio.timeout(60):
        process, _ = await _start(worker)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_open_requests_finish_and_new_ones_are_rejected(worker: FakeWorker) -> None:
    """While an open request finishes after SIGTERM, /readyz answers 503; then the exit code is 0."""
    worker.pause_s = 0.3
    async with asyncio.timeout(60):
        process, url = await _start(worker)
        async with aiohttp.ClientSession(url) as session:
            open_request = asyncio.create_task(_ask(session))
            while not worker.running:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            while await _status(session, "/readyz") == 200:
                await asyncio.sleep(0.01)
            assert await _status(session, "/readyz") == 503
            assert await open_request == (200, "There are 3 ships.")
        assert await process.wait() == 0


async def test_a_second_signal_aborts_open_requests(worker: FakeWorker) -> None:
    """A second SIGTERM ends the process with exit code 3 although a request is open."""
    worker.hangs = True
    async with asyncio.timeout(60):
        process, url = await _start(worker)
        async with aiohttp.ClientSession(url) as session:
            open_request = asyncio.create_task(_ask(session))
            while not worker.running:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            while await _status(session, "/readyz") == 200:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 3
            worker.hangs = False
            await asyncio.gather(open_request, return_exceptions=True)


@pytest.mark.slow
async def test_an_idle_connection_outlives_a_load_balancers(worker: FakeWorker) -> None:
    """An idle connection stays open longer than uvicorn's default of 5 s. A proxy with a pool of connections would
    otherwise send requests on closing ones."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        for idle_s in (6, 0):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"}")
            await asyncio.sleep(idle_s)
        writer.close()


def test_full_collections_are_short_and_rare() -> None:
    """A collection after the start doesn't visit what was constructed, and a full one follows 100 smaller ones."""
    threshold = gc.get_threshold()
    gc.collect()
    visited = len(gc.get_objects())
    try:
        tune_garbage_collection()
        assert len(gc.get_objects()) < visited / 100
        assert gc.get_threshold() == (7_000, 10, 10)
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


async def _start(worker: FakeWorker) -> tuple[asyncio.subprocess.Process, str]:
    port = free_port()
    command = ["-m", "sarlens", "serve", "--worker", worker.url, "--port", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    await until_it_answers(f"http://127.0.0.1:{port}/health")
    return process, f"http://127.0.0.1:{port}"


async def _ask(session: aiohttp.ClientSession) -> tuple[int, str]:
    body = {"messages": [{"role": "user", "content": "How many ships?"}]}
    async with session.post("/v1/chat/completions", json=body) as response:
        return response.status, (await response.json())["choices"][0]["message"]["content"]


async def _status(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status
