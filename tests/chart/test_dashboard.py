"""The Grafana dashboard: its JSON, and its queries against Prometheus."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import numpy as np
import pytest

from chart.dashboard import DASHBOARD, build_dashboard
from chart.rendering import CHART, EVERYTHING, of_kind, rendered
from sarlens.settings import S3Settings, Settings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.prometheus import Prometheus, needs_prometheus, prometheus, promtool
from support.s3 import S3Server
from support.workers.fake_worker import MODEL

PANELS = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
QUERIES = {(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]}
SCENES = 3


def test_the_dashboard_is_generated() -> None:
    """The JSON in the chart equals the output of dashboard.py, byte for byte."""
    assert DASHBOARD.read_text() == build_dashboard(), (
        "run it: PYTHONPATH=service:tests python tests/chart/dashboard.py"
    )


def test_the_chart_ships_the_dashboard() -> None:
    """The ConfigMap that Grafana's sidecar reads holds the file unchanged."""
    (config_map,) = [item for item in of_kind(rendered(EVERYTHING), "ConfigMap") if "sarlens.json" in item["data"]]
    assert config_map["data"]["sarlens.json"] == DASHBOARD.read_text()
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_every_panel_is_described() -> None:
    """Each panel has a title, a description, a unit and at least one query that no other panel has."""
    assert all(panel["description"] for panel in PANELS)
    assert all(panel["title"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"] for panel in PANELS)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len(QUERIES) == sum(len(panel["targets"]) for panel in PANELS)


def test_every_query_is_that_of_the_chosen_services() -> None:
    """Namespace and service, which are variables of the dashboard, select the series of each query."""
    variables = {item["name"] for item in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert variables == {"datasource", "namespace", "job"}
    for _, expr in QUERIES:
        selectors = re.findall(r"{(?!{)([^}]*)}", expr)
        assert selectors
        assert all('namespace=~"$namespace", job=~"$job"' in selector for selector in selectors), expr


def _chat(number: int, **more: Any) -> dict[str, Any]:
    content = [
        {"type": "image_url", "image_url": {"url": f"s3://scenes/board-{number % SCENES}.tif"}},
        {"type": "text", "text": "How many ships are in the image?"},
    ]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 8, **more}


async def _load(base: str) -> None:
    """Send streams, whole responses, typed answers, surveys and failing requests until canceled."""
    url, questions = "s3://scenes/board-0.tif", ["How many ships are in the image?"]
    async with aiohttp.ClientSession() as session:
        number = 0
        while True:
            for path, body, status in (
                ("/v1/chat/completions", _chat(number), 200),
                ("/v1/chat/completions", _chat(number, stream=True, ignore_eos=True), 200),
                ("/v1/sar/vqa", {"model": MODEL, "image": url, "questions": questions}, 200),
                ("/v1/sar/surveys", {"model": MODEL, "image": url, "questions": questions, "tile": 256}, 200),
                ("/v1/chat/completions", _chat(number) | {"model": "another"}, 404),
            ):
                async with session.post(base + path, json=body) as response:
                    text = await response.text()
                    assert response.status == status, text
            number += 1


@asynccontextmanager
async def _under_load(base: str) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(_load(base)) for _ in range(2)]
        yield
        for caller in callers:
            caller.cancel()


async def _unanswered(watcher: Prometheus, queries: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the queries without data, or with NaN only."""
    unanswered = set()
    for title, expr in queries:
        promql = expr.replace("$namespace", ".*").replace("$job", ".*").replace("$__rate_interval", "15s")
        series = await asyncio.to_thread(watcher.query, promql)
        if not any(math.isfinite(value) for _, value in series):
            unanswered.add((title, expr))
    return unanswered


@pytest.mark.slow
@needs_prometheus
async def test_every_query_finds_data(
    vllm_url: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every query of the dashboard has data in a Prometheus that scrapes a loaded gateway and its vLLM worker.

    promtool accepts the metrics page of that gateway.
    """
    for number in range(SCENES):
        pixels = sea(512, 512, np.array([(100, 100), (300, 200)]), seed=number)
        s3.client().put_object(Bucket="scenes", Key=f"board-{number}.tif", Body=geotiff(pixels))
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(worker=WorkerSettings(urls=(vllm_url,)), s3=S3Settings(endpoint=s3.endpoint))
    async with gateway(settings) as base:
        targets = {"gateway": base, "worker": vllm_url}
        with prometheus(tmp_path, targets, CHART / "rules" / "sarlens.yaml") as watcher:
            unanswered, deadline = QUERIES, monotonic() + 90
            async with _under_load(base):
                while unanswered and monotonic() < deadline:
                    await asyncio.sleep(1)
                    unanswered = await _unanswered(watcher, unanswered)
            assert not unanswered
            scraped = (await asyncio.to_thread(watcher.get, "targets"))["activeTargets"]
            assert [target["health"] for target in scraped] == ["up", "up"]
        async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
            await asyncio.to_thread(promtool, "check", "metrics", given=await response.read())
