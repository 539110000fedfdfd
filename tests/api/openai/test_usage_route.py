"""``GET /v1/usage``, and the name of the key in metrics and access log."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from support.otlp_collector import collector
from support.pictures import DATA_URL
from support.tenants import Tenants, infer_by_grpc, tenants
from support.workers.fake_worker import MODEL, WORDS, FakeWorker

ANSWER_TOKENS = 70 + len(WORDS)
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Ships?"}]}
KEYS: dict[str, dict[str, Any]] = {
    "gis": {"requests_per_minute": 5, "tokens_per_minute": 6000},
    "lab": {},
}


@pytest.fixture
async def gateway(tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tenants]:
    """A gateway with the name of the key in metrics and access log."""
    monkeypatch.setenv("SARLENS_ACCESS_LOG_RATIO", "1")
    async with tenants(tmp_path, [worker], KEYS, label_metrics=True) as running:
        yield running


async def usage(gateway: Tenants, name: str) -> dict[str, Any]:
    """The usage of a key."""
    status, text = await gateway.get(name, "/v1/usage")
    assert status == 200
    document: dict[str, Any] = json.loads(text)
    return document


async def test_a_key_sees_its_own_usage(gateway: Tenants) -> None:
    """Requests count as in quotas, tokens as workers state them, and the limits have what is left of a minute."""
    began = time.time()
    for _ in range(2):
        assert (await gateway.post("gis", BODY))[0] == 200
    questions = {"image": DATA_URL, "questions": ["Ships?", "Tanks?"]}
    assert (await gateway.post("gis", questions, "/v1/sar/vqa"))[0] == 200
    questions["questions"] = ["Ships?"] * 4
    assert (await gateway.post("gis", questions, "/v1/sar/vqa"))[0] == 429
    document = await usage(gateway, "gis")
    since, limits = datetime.fromisoformat(document.pop("since")), document.pop("rate_limits")
    assert since.timestamp() <= began
    assert document == {
        "object": "usage",
        "key": "gis",
        "requests": 4,
        "rejected_requests": 4,
        "tokens": 4 * ANSWER_TOKENS,
    }
    seconds = time.time() - began
    requests, tokens = limits["requests_per_minute"], limits["tokens_per_minute"]
    assert (requests["limit"], tokens["limit"]) == (5, 6000)
    assert 1 <= requests["remaining"] <= 1 + seconds * 5 / 60
    assert 6000 - 4 * ANSWER_TOKENS <= tokens["remaining"] <= 6000
    other = await usage(gateway, "lab")
    assert (other["key"], other["requests"], other["tokens"]) == ("lab", 0, 0)
    assert other["rate_limits"] == {"requests_per_minute": None, "tokens_per_minute": None}


async def test_a_gateway_without_keys_has_no_usage(url: str) -> None:
    """It doesn't distinguish callers, and the error says so."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/v1/usage") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")


async def test_counters_and_log_lines_name_the_key(gateway: Tenants) -> None:
    """Requests, tokens and errors have the label of the key that caused them; without a key, it is empty."""
    with structlog.testing.capture_logs() as logged:
        assert (await gateway.post("gis", BODY))[0] == 200
        assert (await gateway.post("lab", {**BODY, "model": "x"}))[0] == 404
        assert (await gateway.get(None, "/v1/models"))[0] == 401
    assert [line.get("key") for line in logged if line["event"] == "request"] == ["gis", "lab", None]
    page = (await gateway.get("lab", "/metrics"))[1]
    route = 'route="/v1/chat/completions"'
    for series, value in (
        (f'sarlens_requests_total{{key="gis",outcome="answered",{route},status="200"}}', 1),
        (f'sarlens_requests_total{{key="lab",outcome="refused",{route},status="404"}}', 1),
        (f'sarlens_tokens_total{{key="gis",kind="prompt",model="{MODEL}"}}', 70),
        (f'sarlens_tokens_total{{key="gis",kind="completion",model="{MODEL}"}}', len(WORDS)),
        ('sarlens_errors_total{code="model_not_found",key="lab"}', 1),
        ('sarlens_errors_total{code="invalid_api_key",key=""}', 1),
        ('sarlens_shed_requests_total{key="",reason="queue_full"}', 0),
    ):
        assert re.findall(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE) == [f"{value:.1f}"], series


async def test_the_span_of_a_request_names_the_key(
    tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attribute ``sarlens.key`` is on the request's span, over REST and gRPC; no span has it without a key."""
    with collector() as collected:
        monkeypatch.setenv("SARLENS_TRACING__ENDPOINT", collected.url)
        monkeypatch.setenv("SARLENS_TRACING__SAMPLE_RATIO", "1")
        async with tenants(tmp_path, [worker], KEYS) as gateway:
            assert (await gateway.post("gis", BODY))[0] == 200
            await infer_by_grpc(gateway, "lab", {"type": "text", "text": "Ships?"})
            assert (await gateway.get(None, "/v1/models"))[0] == 401
        requests = [span for span in collected.spans if span.kind == 2]
    names = {span.name: span.attributes.get("sarlens.key") for span in requests}
    assert names == {
        "POST /v1/chat/completions": "gis",
        "inference.GRPCInferenceService/ModelInfer": "lab",
        "GET other": None,
    }
