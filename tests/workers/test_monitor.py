"""The monitor of the worker pool, through a gateway."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway, until_it_answers
from support.workers.fake_worker import fake_worker

CHAT = {"messages": [{"role": "user", "content": "Any ships?"}]}


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def ready_workers(http: aiohttp.ClientSession, url: str) -> int:
    """Return the number of ready workers in the metrics."""
    async with http.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(line.startswith("sarlens_worker_ready{") and line.endswith(" 1.0") for line in lines)


async def test_workers_join_and_leave_without_a_restart(tmp_path: Path) -> None:
    """A worker added to the file gets requests, a removed one gets none, and a failed attempt is counted."""
    path = tmp_path / "workers.json"
    async with fake_worker(model="a") as one, fake_worker(model="b") as two, aiohttp.ClientSession() as http:
        path.write_text(json.dumps([{"url": one.url}]))
        settings = WorkerSettings(urls=(f"file://{path}",), probe_interval_s=0.05, replacement_timeout_s=0.1)
        async with gateway(Settings(worker=settings)) as url:

            async def models() -> set[str]:
                async with http.get(f"{url}/v1/models") as response:
                    return {card["id"] for card in (await response.json())["data"]}

            assert await models() == {"a"}
            path.write_text(json.dumps([{"url": two.url}]))
            async with asyncio.timeout(30):
                while await models() != {"b"}:
                    await asyncio.sleep(0.02)
            path.write_text("[")
            await asyncio.sleep(0.2)
            assert await models() == {"b"}
            async with http.get(f"{url}/metrics") as response:
                page = await response.text()
            assert (one.url in page, two.url in page) == (False, True)
            assert float(page.split('sarlens_discovery_failures_total{place="file"} ')[1].split()[0]) >= 1


async def test_a_gateway_accepts_requests_after_the_first_checks() -> None:
    """A gateway that starts isn't ready before its first health check ends, so that it knows its workers then."""
    async with (
        fake_worker(health_pause_s=0.5) as worker,
        gateway(Settings(worker=WorkerSettings(urls=(worker.url,))), ready=False) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{url}/readyz") as response:
            message = (await response.json())["error"]["message"]
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert message == "The first health checks of the workers aren't complete."
        await until_it_answers(f"{url}/readyz")
        assert await ready_workers(http, url) == 1


async def test_a_hung_worker_delays_no_other() -> None:
    """While the checks of one worker take a minute, another that failed returns after two of its own checks."""
    async with fake_worker(health_pause_s=60) as hung, fake_worker() as worker, aiohttp.ClientSession() as http:
        settings = WorkerSettings(urls=(hung.url, worker.url), probe_interval_s=0.03, probe_timeout_s=60)
        async with gateway(Settings(worker=settings)) as url:
            worker.health_status = 503
            async with asyncio.timeout(30):
                while await ready_workers(http, url):
                    await asyncio.sleep(0.01)
            failed, worker.health_status = worker.probes, 200
            async with asyncio.timeout(30):
                while not await ready_workers(http, url):
                    await asyncio.sleep(0.01)
            assert worker.probes >= failed + 2
            assert hung.probes == 1


async def test_the_load_of_a_shared_worker_is_read_between_health_checks() -> None:
    """A worker with requests of other gateways reports its load between its checks, an own one never."""
    async with fake_worker(reported_load=(5.0, 0.0)) as shared, fake_worker(model="b", reported_load=(0.0, 0.0)) as own:
        settings = WorkerSettings(urls=(shared.url, own.url), probe_interval_s=2)
        async with gateway(Settings(worker=settings)) as url, aiohttp.ClientSession() as http:
            async with http.post(f"{url}/v1/chat/completions", json={**CHAT, "model": shared.model}) as response:
                assert response.status == 200
            await until(lambda: len(shared.metrics_names) >= shared.probes + 5)
            assert len(own.metrics_names) <= own.probes + 1


@pytest.mark.parametrize("fault", ["status", "slow"])
async def test_two_failed_checks_change_nothing(fault: str) -> None:
    """After two failed checks, a worker is still ready, and its image is not sent again."""
    async with fake_worker() as worker, aiohttp.ClientSession() as http:
        settings = WorkerSettings(urls=(worker.url,), probe_interval_s=0.1, probe_timeout_s=0.1)
        async with gateway(Settings(worker=settings)) as url:
            await ask_about_image(http, url)
            before = worker.probes
            worker.health_status, worker.health_pause_s = (500, 0.0) if fault == "status" else (200, 0.5)
            await until(lambda: worker.probes >= before + 2)
            worker.health_status, worker.health_pause_s = 200, 0.0
            await until(lambda: worker.probes >= before + 4)
            assert await ready_workers(http, url) == 1
            await ask_about_image(http, url)
            assert (worker.shown, len(worker.bodies)) == (1, 2)


async def test_a_busy_worker_with_slow_checks_stays() -> None:
    """A worker whose health checks all time out serves forty requests in a row without an error."""
    async with fake_worker() as worker, aiohttp.ClientSession() as http:
        settings = WorkerSettings(urls=(worker.url,), probe_interval_s=0.05, probe_timeout_s=0.05)
        async with gateway(Settings(worker=settings)) as url:
            worker.health_pause_s = 60
            before = worker.probes
            while worker.probes < before + 10:
                async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                    assert response.status == 200
            assert await ready_workers(http, url) == 1


async def test_a_restart_clears_the_known_images() -> None:
    """After the start time of its process changes, a worker gets the bytes of an image again without a cache miss."""
    async with fake_worker(reported_load=(0.0, 0.0)) as worker, aiohttp.ClientSession() as http:
        settings = WorkerSettings(urls=(worker.url,), probe_interval_s=0.05)
        async with gateway(Settings(worker=settings)) as url:
            await ask_about_image(http, url)
            worker.known.clear()
            worker.process_start_time += 60
            before = worker.probes
            await until(lambda: worker.probes >= before + 3)
            await ask_about_image(http, url)
            assert (worker.shown, len(worker.bodies)) == (2, 2)


async def test_the_health_check_is_settable() -> None:
    """A worker whose health check has another path becomes ready with that path, and not with the default."""
    async with fake_worker(health_status=404) as worker:
        settings = WorkerSettings(urls=(worker.url,), health_path="/v1/models", probe_interval_s=0.05)
        async with gateway(Settings(worker=settings)):
            assert worker.probes == 0


async def ask_about_image(http: aiohttp.ClientSession, url: str) -> None:
    """Ask about one image."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "png")
    pixel = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": pixel}}, {"type": "text", "text": "Any ships?"}]
    body = {"messages": [{"role": "user", "content": content}]}
    async with http.post(f"{url}/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()


async def test_requests_on_a_worker_that_left_and_then_dies_move(tmp_path: Path) -> None:
    """A request on a worker that left its location stays there, and moves at once when its health checks fail."""
    path = tmp_path / "workers.json"
    async with fake_worker(hangs=True) as left, fake_worker() as new, aiohttp.ClientSession() as http:
        path.write_text(json.dumps([{"url": left.url}]))
        settings = WorkerSettings(urls=(f"file://{path}",), probe_interval_s=0.05)
        async with gateway(Settings(worker=settings)) as url:
            asking = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=CHAT))
            await until(lambda: left.running == 1)
            path.write_text(json.dumps([{"url": new.url}]))
            async with asyncio.timeout(30):
                while left.url in await metrics_page(http, url):
                    await asyncio.sleep(0.02)
            probes = left.probes
            await until(lambda: left.probes > probes + 2)
            assert not asking.done()
            left.health_status = 503
            async with asyncio.timeout(30), await asking as response:
                assert response.status == 200
            assert (len(left.bodies), len(new.bodies), left.aborted) == (1, 1, 1)
            await asyncio.sleep(0.2)
            probes = left.probes
            await asyncio.sleep(0.2)
            assert left.probes == probes


async def metrics_page(http: aiohttp.ClientSession, url: str) -> str:
    """Return the page of metrics."""
    async with http.get(f"{url}/metrics") as response:
        return await response.text()
