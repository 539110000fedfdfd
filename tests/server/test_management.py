"""The management port of several processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp

import sarlens
from sarlens.devstack.ports import free_port
from support.gateway import until_it_answers
from support.workers.fake_worker import MODEL, FakeWorker


async def test_processes_share_the_management_port(worker: FakeWorker, tmp_path: Path) -> None:
    """It answers for all processes, its metrics cover them, and it reports the drain while a request is open.

    The gateway logs its addresses once, and each process the workers that it finds.
    """
    port, management = free_port(), free_port()
    variables = {"SARLENS_MANAGEMENT__PORT": str(management), "SARLENS_GRPC__PORT": "none"}
    command = ("-m", "sarlens", "serve", "--worker", worker.url, "--port", str(port), "--processes", "2")
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env={**os.environ, **variables}, stderr=log
        )
    rest, operations = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{management}"
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Ships?"}]}
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        await until_it_answers(f"{operations}/health")
        await until_it_answers(f"{rest}/health")
        for _ in range(6):
            async with http.post(f"{rest}/v1/chat/completions", json=body) as response:
                assert response.status == 200
        async with http.get(f"{rest}/metrics") as response:
            assert response.status == 404
        async with http.get(f"{operations}/metrics") as response:
            page = await response.text()
        answered = r'sarlens_requests_total\{outcome="answered",route="/v1/chat/completions",status="200"\} (\S+)'
        assert [float(value) for value in re.findall(answered, page)] == [6.0]
        worker.hangs = True
        open_request = asyncio.create_task(http.post(f"{rest}/v1/chat/completions", json=body))
        while not worker.running:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        status = 200
        while status != 503:
            await asyncio.sleep(0.01)
            async with http.get(f"{operations}/readyz", headers={"Connection": "close"}) as response:
                status = response.status
        worker.hangs = False
        assert (await open_request).status == 200
        assert await process.wait() == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (start,) = [line for line in lines if line["event"] == "gateway starts"]
    assert {
        "rest": rest,
        "management": operations,
        "processes": 2,
        "version": sarlens.__version__,
    }.items() <= start.items()
    found = [(line["workers"], line["ready"], line["models"]) for line in lines if line["event"] == "workers found"]
    assert found == [(1, 1, [MODEL])] * 2
