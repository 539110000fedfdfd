"""``sarlens adapter``, and the routes of the management port that it calls, in front of two fake workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typer.testing import Result

from sarlens.devstack.ports import free_port
from sarlens.settings import ManagementSettings, Settings, WorkerSettings
from support.cli_runner import error_line, invoke
from support.gateway import gateway, until_ready
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


class Fleet:
    """Two workers and the management port of their gateway."""

    def __init__(self, first: FakeWorker, second: FakeWorker, management: str) -> None:
        self.first, self.second, self._management = first, second, management

    async def run(self, *arguments: str) -> Result:
        """Run ``sarlens adapter``."""
        return await asyncio.to_thread(invoke, "adapter", *arguments, "--management", self._management)


@asynccontextmanager
async def fleet(**second: Any) -> AsyncIterator[Fleet]:
    """Start two workers that load adapters, and a gateway."""
    port = free_port()
    management = f"http://127.0.0.1:{port}"
    async with fake_worker(adapters={}) as one, fake_worker(**{"adapters": {}, **second}) as two:
        settings = Settings(worker=WorkerSettings(urls=(one.url, two.url)), management=ManagementSettings(port=port))
        async with gateway(settings):
            await until_ready(management, 1 if "health_status" in second else 2)
            yield Fleet(one, two, management)


async def test_an_adapter_is_loaded_and_unloaded_on_all_workers() -> None:
    """Both workers load it, a second load changes nothing, a base model keeps its name, and both unload it."""
    async with fleet() as both:
        assert "no adapters" in (await both.run("list")).stdout.splitlines()
        loaded = await both.run("load", "ships", "/models/ships")
        printed = loaded.stdout.splitlines()[-3:]  # after the log of the gateway, which is in this process
        assert printed == ["loaded ships on 2 workers", both.first.url, both.second.url]
        assert both.first.adapters == both.second.adapters == {"ships": "/models/ships"}
        again = await both.run("load", "ships", "/models/ships", "--base", MODEL)
        assert (again.exit_code, both.first.paths, both.second.paths) == (0, [LOAD], [LOAD])
        assert f"ships: {MODEL}, /models/ships, on 2 workers" in (await both.run("list")).stdout.splitlines()
        for name, path in (("ships", "/models/others"), (MODEL, "/models/ships")):
            assert "Unload it, or choose another name" in (await both.run("load", name, path)).stderr
        assert "No worker serves the base model" in (await both.run("load", "a", "/a", "--base", "b")).stderr
        unloaded = await both.run("unload", "ships")
        assert "unloaded ships on 2 workers" in unloaded.stdout.splitlines()
        assert both.first.adapters == both.second.adapters == {}
        assert "No ready worker serves an adapter" in (await both.run("unload", "ships")).stderr


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"rejected_adapter": "/models/ships"}, "says: No adapter found for '/models/ships'."),
        ({"adapters": None}, "has no route for adapters: start vLLM with --enable-lora"),
    ],
)
async def test_an_adapter_that_one_worker_rejects_is_on_none(second: dict[str, Any], reason: str) -> None:
    """The worker that loaded it unloads it, and the error has the words of the other one."""
    async with fleet(**second) as both:
        failed = await both.run("load", "ships", "/models/ships")
        assert failed.exit_code == 1
        assert f"The adapter 'ships' isn't loaded: {both.second.url} {reason}" in failed.stderr
        assert "still has it" not in failed.stderr
        assert (both.first.adapters, both.first.paths) == ({}, [LOAD, UNLOAD])
        assert "no adapters" in (await both.run("list")).stdout.splitlines()


async def test_no_worker_changes_unless_all_are_ready() -> None:
    """A worker that isn't ready is named, and the ready one keeps its models."""
    async with fleet(health_status=503) as both:
        failed = await both.run("load", "ships", "/models/ships")
        assert f"these workers aren't ready: {both.second.url}" in failed.stderr
        assert both.first.paths == []


@pytest.mark.parametrize("arguments", [("load", "ships"), ("unload",), ("list", "ships")])
def test_the_arguments_are_those_of_the_action(arguments: tuple[str, ...]) -> None:
    """An argument too few or too many is an error of the command line."""
    assert error_line("adapter", *arguments, exit_code=2).startswith(f"`adapter {arguments[0]}` needs ")
