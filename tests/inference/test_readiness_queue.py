"""Requests that wait for a worker, through a gateway."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sarlens.devstack.ports import free_port
from sarlens.errors import DeadlineExceeded, ModelNotFound, NoWorkerAvailable, Overloaded, QuotaExceeded
from sarlens.inference.readiness_queue import ReadinessQueue
from sarlens.observability.metrics import Metrics
from sarlens.settings import AdmissionSettings, Settings, WorkerSettings
from sarlens.types.caller import CallerPolicy, Share
from sarlens.workers.worker import Worker
from support.gateway import gateway
from support.tenants import Tenants, infer_by_grpc, tenants
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker
from support.workers.scripted_worker import MODEL as SCRIPTED
from support.workers.scripted_worker import Reply, ScriptedFleet

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Any ships?"}]}
_ANY_MODEL = {"messages": CHAT["messages"]}
_FAST_PROBES: dict[str, Any] = {"probe_interval_s": 0.05, "probe_failure_threshold": 1, "probe_success_threshold": 1}


def settings(
    *urls: str, queue_timeout_s: float = 30.0, max_queued: int = 1024, probe_interval_s: float = 0.05
) -> Settings:
    """Return settings with frequent health checks."""
    return Settings(
        worker=WorkerSettings(urls=urls, probe_interval_s=probe_interval_s, probe_timeout_s=5),
        admission=AdmissionSettings(queue_timeout_s=queue_timeout_s, max_queued=max_queued),
    )


async def ask(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    """Send a chat; return the status and the error code."""
    async with http.post(f"{url}/v1/chat/completions", json=CHAT, headers=headers) as response:
        return response.status, (await response.json()).get("error", {}).get("code", "")


async def until_waiting(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until the gateway has received the requests of other connections."""
    async with http.get(f"{url}/healthz"):
        await asyncio.sleep(0.1)


async def test_requests_at_startup_wait_for_the_first_worker() -> None:
    """Ten requests that arrive before the worker is ready are all answered, and /health says why it is not ready."""
    async with (
        aiohttp.ClientSession() as http,
        fake_worker(model="m", health_status=503) as worker,
        gateway(settings(worker.url), ready=False) as url,
    ):
        asking = [asyncio.create_task(ask(http, url)) for _ in range(10)]
        await until_waiting(http, url)
        async with http.get(f"{url}/health") as response:
            assert response.status == 503
            message = (await response.json())["error"]["message"]
        assert message == "No worker is ready: 1 of 1 haven't passed a health check yet, and 0 are lost."
        assert not any(task.done() for task in asking)
        worker.health_status = 200
        assert await asyncio.gather(*asking) == [(200, "")] * 10


async def test_requests_for_a_model_at_zero_wait_and_are_counted(tmp_path: Path) -> None:
    """A model whose workers are scaled to zero gets requests beside a served one; they wait until a worker has it.

    Its metric counts them, which an autoscaler reads, and is 0 before and after. Another name is 404 as ever.
    """
    path = tmp_path / "workers.json"
    async with fake_worker(model="served") as one, fake_worker(model="m") as two, aiohttp.ClientSession() as http:
        _write(path, one)
        worker = WorkerSettings(urls=(f"file://{path}",), probe_interval_s=0.05, models=("m",))
        async with gateway(Settings(worker=worker)) as url:

            async def counted() -> float:
                async with http.get(f"{url}/metrics") as response:
                    page = await response.text()
                return float(page.split('sarlens_requests_waiting_for_model{model="m"} ')[1].split()[0])

            assert await counted() == 0
            asking = [asyncio.create_task(ask(http, url)) for _ in range(3)]
            async with asyncio.timeout(10):
                while await counted() < 3:
                    await asyncio.sleep(0.01)
            async with http.post(f"{url}/v1/chat/completions", json=CHAT | {"model": "unknown"}) as response:
                assert response.status == 404
            _write(path, one, two)
            assert await asyncio.gather(*asking) == [(200, "")] * 3
            assert await counted() == 0


async def test_the_wait_is_bounded() -> None:
    """A request without a worker gets 503 after the queue timeout, and 408 after its own deadline if that is sooner."""
    async with gateway(settings(queue_timeout_s=0.3), ready=False) as url, aiohttp.ClientSession() as http:
        started_at = time.monotonic()
        assert await ask(http, url) == (503, "no_worker")
        assert 0.3 <= time.monotonic() - started_at < 5
        deadline = str(time.time() + 0.1)
        assert (await ask(http, url, **{"X-Request-Deadline": deadline}))[0] == 408


async def test_the_number_of_waiting_requests_is_bounded() -> None:
    """Of ten requests without a worker and a queue of four, six are rejected at once."""
    async with (
        gateway(settings(queue_timeout_s=1.0, max_queued=4), ready=False) as url,
        aiohttp.ClientSession() as http,
    ):
        codes = [code for _, code in await asyncio.gather(*(ask(http, url) for _ in range(10)))]
        assert (codes.count("overloaded"), codes.count("no_worker")) == (6, 4)


async def test_a_key_finds_a_place_in_a_queue_that_another_key_has_filled(tmp_path: Path) -> None:
    """Of two keys that wait for a worker, each has two of four places; a key without a place gets 429."""
    entries: dict[str, dict[str, Any]] = {"greedy": {}, "small": {}, "none": {"max_queued": 0}}
    async with fake_worker() as worker, tenants(tmp_path, [worker], entries, max_queued=4, **_FAST_PROBES) as keys:
        worker.health_status = 503
        await _until_unready(keys)
        greedy = [asyncio.create_task(keys.post("greedy", _ANY_MODEL)) for _ in range(6)]
        await asyncio.sleep(0.2)
        small = [asyncio.create_task(keys.post("small", _ANY_MODEL)) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert (await keys.post("none", _ANY_MODEL))[0] == 429
        worker.health_status = 200
        statuses = [sorted([(await task)[0] for task in tasks]) for tasks in (greedy, small)]
        assert statuses == [[200, 200, 503, 503, 503, 503], [200, 200, 503]]


@pytest.mark.parametrize("protocol", ["/v2", "gRPC"])
async def test_requests_of_the_open_inference_protocol_wait_too(tmp_path: Path, protocol: str) -> None:
    """While no worker is ready, a request over REST or gRPC waits, and the worker gets it once."""
    async with fake_worker() as worker, tenants(tmp_path, [worker], {"a": {}}, **_FAST_PROBES) as keys:
        worker.health_status = 503
        await _until_unready(keys)
        prompt = {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": ["Any ships?"]}
        asking: asyncio.Task[Any] = asyncio.create_task(
            keys.post("a", {"inputs": [prompt]}, f"/v2/models/{MODEL}/infer")
            if protocol == "/v2"
            else infer_by_grpc(keys, "a", {"type": "text", "text": "Any ships?"})
        )
        await asyncio.sleep(0.2)
        assert not asking.done()
        worker.health_status = 200
        await asking
        assert len(worker.bodies) == 1


@pytest.mark.parametrize("old_serves", [True, False])
async def test_a_swap_of_workers_fails_no_request(tmp_path: Path, *, old_serves: bool) -> None:
    """While a new worker takes its first check, the old one serves; if that one is gone too, requests wait."""
    path = tmp_path / "workers.json"
    async with (
        aiohttp.ClientSession() as http,
        fake_worker(model="m") as old,
        fake_worker(model="m", health_pause_s=0.5) as new,
    ):
        _write(path, old)
        async with gateway(settings(f"file://{path}")) as url:
            _write(path, new)
            if not old_serves:
                old.health_status = 503
            async with asyncio.timeout(30):
                while not new.bodies:
                    assert await ask(http, url) == (200, "")
            assert bool(old.bodies) or not old_serves


async def test_the_restart_of_the_only_worker_fails_no_request() -> None:
    """Requests that find the port of the only worker closed wait, and its new process answers them once each."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        port = free_port()
        async with fake_worker(model="m", port=port) as old:
            url = await stack.enter_async_context(gateway(settings(old.url, probe_interval_s=0.5)))
        asking = [asyncio.create_task(ask(http, url)) for _ in range(5)]
        await until_waiting(http, url)
        new = await stack.enter_async_context(fake_worker(model="m", port=port))
        assert await asyncio.gather(*asking) == [(200, "")] * 5
        assert (len(old.bodies), len(new.bodies)) == (0, 5)


async def _until_unready(keys: Tenants) -> None:
    async with asyncio.timeout(30):
        while (await keys.get(None, "/health"))[0] == 200:
            await asyncio.sleep(0.02)


def _write(path: Path, *workers: FakeWorker) -> None:
    path.write_text(json.dumps([{"url": worker.url} for worker in workers]))


def starting(metrics: Metrics, **limits: Any) -> tuple[ReadinessQueue, Worker]:
    """Return a queue in front of one worker that isn't ready yet; requests wait for at most 50 ms."""
    fleet = ScriptedFleet([[Reply()]])
    fleet.pool.set_endpoints({"http://a": 1.0})
    defaults: dict[str, Any] = {"max_queued": 3, "queue_timeout_s": 0.05}
    return ReadinessQueue(fleet.pool, metrics=metrics, **(defaults | limits)), fleet.pool.workers[0]


def policy(name: str, deadline: float | None = None, **share: Any) -> CallerPolicy:
    """Return the terms of an API key."""
    return CallerPolicy(name, deadline=deadline, share=Share(name, **share))


def counts(metrics: Metrics) -> tuple[dict[str, float], float]:
    """Return the rejections by reason, and the number of waits that were timed."""
    (rejections,), (stages,) = metrics.rejections.collect(), metrics.stages.collect()
    reasons = {s.labels["reason"]: s.value for s in rejections.samples if s.value and s.name.endswith("_total")}
    waits = [s.value for s in stages.samples if s.name.endswith("_count") and s.labels["stage"] == "admission"]
    return reasons, sum(waits)


async def test_a_worker_in_time_gives_the_model() -> None:
    """A request that waits gets its model as soon as the worker is ready, and is timed; a later one doesn't wait."""
    metrics = Metrics()
    queue, worker = starting(metrics, queue_timeout_s=30.0)
    waiting = asyncio.create_task(queue.resolve_model(None, policy("a")))
    other = asyncio.create_task(queue.resolve_model("other", policy("a")))
    await asyncio.sleep(0)
    assert [len(scopes) for scopes in queue._waiting.values()] == [2]
    await worker.probe()
    assert await waiting == SCRIPTED
    with pytest.raises(ModelNotFound):
        await other
    assert await queue.resolve_model(SCRIPTED, policy("a")) == SCRIPTED
    assert counts(metrics) == ({}, 2)
    assert queue._waiting == {"a": []}


async def test_the_end_of_a_wait_says_why() -> None:
    """After 50 ms, no worker is ready; a deadline before that is the caller's. Each counts once."""
    metrics = Metrics()
    queue, _ = starting(metrics)
    with pytest.raises(NoWorkerAvailable, match="1 of 1 haven't passed a health check yet"):
        await queue.resolve_model(None, policy("a"))
    assert counts(metrics) == ({"queue_timeout": 1}, 1)
    with pytest.raises(DeadlineExceeded, match=r"^The deadline passed while the request waited for a worker\.$"):
        await queue.resolve_model(None, policy("a", time.time() + 0.01))
    assert counts(metrics) == ({"queue_timeout": 1, "deadline": 1}, 2)
    assert queue._waiting == {"a": []}


async def test_a_full_queue_is_shared_between_keys() -> None:
    """A key with three of three places loses its newest one to another key, and its next one too; then none may take.

    The rejection states 2 s, and counts once.
    """
    metrics = Metrics()
    queue, worker = starting(metrics, queue_timeout_s=30.0)
    greedy = [asyncio.create_task(queue.resolve_model(None, policy("greedy"))) for _ in range(3)]
    await asyncio.sleep(0)
    words = r"^No worker is ready, and too many requests are queued\.$"
    with pytest.raises(Overloaded, match=words) as full:
        await queue.resolve_model(None, policy("greedy"))
    assert full.value.retry_after == 2
    small = asyncio.create_task(queue.resolve_model(None, policy("small")))
    with pytest.raises(Overloaded, match=words):
        await greedy[2]
    with pytest.raises(Overloaded, match=words):
        await queue.resolve_model(None, policy("small"))
    assert counts(metrics)[0] == {"queue_full": 2, "fair_share": 1}
    assert {name: len(scopes) for name, scopes in queue._waiting.items()} == {"greedy": 2, "small": 1}
    await worker.probe()
    assert [await task for task in (greedy[0], greedy[1], small)] == [SCRIPTED] * 3
    assert counts(metrics)[0] == {"queue_full": 2, "fair_share": 1}


async def test_a_key_has_its_own_bound() -> None:
    """A key that may queue one request gets 429 for the second one, with its bound and 2 s to wait."""
    metrics = Metrics()
    queue, worker = starting(metrics, queue_timeout_s=30.0)
    first = asyncio.create_task(queue.resolve_model(None, policy("a", max_queued=1)))
    await asyncio.sleep(0)
    with pytest.raises(QuotaExceeded, match=r"^This API key allows 1 queued requests\.$") as rejected:
        await queue.resolve_model(None, policy("a", max_queued=1))
    assert rejected.value.retry_after == 2
    assert counts(metrics)[0] == {"key_queue_full": 1}
    await worker.probe()
    assert await first == SCRIPTED
