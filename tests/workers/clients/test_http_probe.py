"""The health check of a worker over HTTP."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sarlens.devstack.ports import free_port
from sarlens.errors import SarlensError, Timeout, WorkerFailed, WorkerUnreachable
from sarlens.workers.clients.base import HealthCheck, WorkerStatus
from sarlens.workers.clients.http1.pool import http_connections
from sarlens.workers.clients.http_probe import HttpProbe, parse_metrics
from support.workers.fake_worker import fake_worker


async def probe(url: str, check: HealthCheck, times: int = 1) -> WorkerStatus:
    """Return the last status of a worker."""
    async with http_connections(connect_timeout_s=2, keepalive_timeout_s=4) as connections:
        prober = HttpProbe(connections.pool(url, {}), check)
        for _ in range(times):
            status = await prober.run()
        return status


async def test_the_status_has_models_load_and_start_time() -> None:
    """A worker with 3 running and 4 waiting requests has a load of 7; without a metrics page, its load is unknown."""
    async with fake_worker(reported_load=(3.0, 4.0), process_start_time=1764460012.25) as worker:
        status = await probe(worker.url, HealthCheck())
        assert (list(status.models), status.load, status.process_start_time) == ([worker.model], 7.0, 1764460012.25)
        assert (await probe(worker.url, HealthCheck(reads_metrics=False)))[1:] == (None, None)
        worker.reported_load = None
        assert (await probe(worker.url, HealthCheck(), 3))[1:] == (None, None)
        assert worker.probes == 5


async def test_only_the_metrics_of_the_load_are_read() -> None:
    """The gateway names the three metrics that it reads; from a worker that can't filter, it reads the whole page."""
    names = ["vllm:num_requests_running", "vllm:num_requests_waiting", "process_start_time_seconds"]
    async with fake_worker(reported_load=(3.0, 4.0)) as worker:
        assert (await probe(worker.url, HealthCheck(), 2)).load == 7.0
        assert worker.metrics_names == [names, names]
    async with fake_worker(reported_load=(3.0, 4.0), filters_metrics=False) as worker:
        assert (await probe(worker.url, HealthCheck(), 2)).load == 7.0
        assert worker.metrics_names == [names, [], []]


@pytest.mark.parametrize(
    ("behavior", "path", "error", "message"),
    [
        ({"health_status": 503}, "/health", WorkerFailed, "answers 503"),
        ({"health_status": 401}, "/health", WorkerFailed, "SARLENS_WORKER__API_KEY"),
        ({"health_pause_s": 1.0}, "/health", Timeout, r"more than 0\.2 s"),
        ({}, "/ping", WorkerFailed, "answers 404"),
    ],
)
async def test_a_check_that_fails_says_why(
    behavior: dict[str, Any], path: str, error: type[SarlensError], message: str
) -> None:
    """An unhealthy status, a path without a health check and a slow answer raise their errors within the timeout."""
    async with fake_worker(**behavior) as worker:
        started_at = time.monotonic()
        with pytest.raises(error, match=message):
            await probe(worker.url, HealthCheck(path, 0.2))
        assert time.monotonic() - started_at < 0.9
    with pytest.raises(WorkerUnreachable):
        await probe(f"http://127.0.0.1:{free_port()}", HealthCheck())


async def test_a_check_that_is_canceled_while_it_fails_ends() -> None:
    """A task that repeats checks ends, if it is canceled at the moment in which a check fails."""
    attempts: list[None] = []

    class FailingPool:
        endpoint = SimpleNamespace(head=lambda *_: b"")

        async def request(self, *_: Any, **__: Any) -> Any:
            attempts.append(None)
            if len(attempts) == 1:
                asyncio.get_running_loop().call_soon(checks.cancel)
            raise WorkerFailed("x")

    prober = HttpProbe(cast("Any", FailingPool()), HealthCheck())

    async def check_forever() -> None:
        while True:
            with suppress(WorkerFailed):
                await prober.run()
            await asyncio.sleep(0)

    checks = asyncio.create_task(check_forever())
    await asyncio.wait([checks], timeout=1)
    ended = checks.cancelled()
    checks.cancel()
    assert ended


def test_metrics_of_all_engines_are_summed() -> None:
    """Gauges of two engines add up, other metrics with a similar name don't count, and garbage is no load."""
    page = (
        b'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_running{engine="1"} 1.0\n'
        b'vllm:num_requests_waiting{engine="0"} 1e+01\nvllm:num_requests_waiting_by_reason{reason="x"} 9\n'
        b"process_start_time_seconds 1.76446001225e+09\n"
    )
    assert parse_metrics(page) == (13.0, 1764460012.25)
    assert parse_metrics(b"<html>" * 1000) == (None, None)
    assert parse_metrics(b"vllm:num_requests_running e.e\n") == (None, None)
