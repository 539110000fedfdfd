"""``sarlens workers``, and the route of the management port that it reads."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from sarlens.devstack.ports import free_port
from sarlens.settings import ManagementSettings, Settings, WorkerSettings
from support.cli_runner import error_line, invoke
from support.gateway import gateway
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL, FakeWorker

CHAT = {
    "model": MODEL,
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}, {"type": "text", "text": "Ships?"}],
        }
    ],
}


async def test_the_workers_of_a_gateway_are_shown(worker: FakeWorker) -> None:
    """A row has state, requests in flight, breaker, images and models; a location and a worker that fail, a reason."""
    dead, port = f"http://127.0.0.1:{free_port()}", free_port()
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url, dead, "file:///no/such/workers.json"), breaker_failure_threshold=1),
        management=ManagementSettings(port=port),
    )
    management = f"http://127.0.0.1:{port}"
    async with gateway(settings) as url, aiohttp.ClientSession() as http:
        async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
            assert response.status == 200
        worker.hangs = True
        hanging = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=CHAT))
        while not worker.running:
            await asyncio.sleep(0.01)
        shown = await asyncio.to_thread(invoke, "workers", "--management", management)
        documented = await asyncio.to_thread(invoke, "workers", "--management", management, "--json")
        async with http.get(f"{url}/workers") as response:
            assert response.status == 404
        worker.hangs = False
        await hanging
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["worker", "state", "in", "flight", "load", "breaker", "images", "models"]
    assert [worker.url, "ready", "1", "1.0", "closed", "1", MODEL] in lines
    assert [dead, "not", "ready", "0", "0.0", "closed", "0"] in lines
    assert f"{dead}: The worker doesn't accept connections." in shown.stdout
    assert "file:///no/such/workers.json: workers.json can't be read" in shown.stdout
    fleet = json.loads(documented.stdout)
    assert [(known["name"], known["url"]) for known in fleet["workers"]] == [(worker.url, worker.url), (dead, dead)]
    assert [(found["location"], found["workers"], bool(found["error"])) for found in fleet["locations"]] == [
        (worker.url, 1, False),
        (dead, 1, False),
        ("file:///no/such/workers.json", 0, True),
    ]


@pytest.mark.parametrize("starts", [False, True])
async def test_a_gateway_without_workers_fails_the_command(starts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 1 if no worker is ready, or no gateway answers; the port is that of the settings."""
    port = free_port()
    monkeypatch.setenv("SARLENS_MANAGEMENT__PORT", str(port))
    if not starts:
        line = await asyncio.to_thread(error_line, "workers")
        assert line.startswith(f"no gateway answers at http://127.0.0.1:{port}")
        return
    settings = Settings(
        worker=WorkerSettings(urls=(f"http://127.0.0.1:{free_port()}",)), management=ManagementSettings(port=port)
    )
    async with gateway(settings, ready=False):
        shown = await asyncio.to_thread(invoke, "workers")
    assert (shown.exit_code, shown.stderr) == (1, "sarlens: no worker is ready\n")


def test_the_management_port_must_be_named() -> None:
    """Without an option and a setting, the command says what to name."""
    assert "--management URL" in error_line("workers", exit_code=2)
