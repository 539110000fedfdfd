"""Requests of web pages of other origins."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import CorsSettings, KeysSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker

PAGE, OTHER = "https://map.example.com", "https://other.example.com"
CHAT = "/v1/chat/completions"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def page_url(worker: FakeWorker, tmp_path: Path) -> AsyncIterator[str]:
    """A gateway with API keys that one origin may call."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "gis", "sha256": generate_api_key()[1]}]))
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)), cors=CorsSettings(origins=(PAGE,)), keys=KeysSettings(file=keys)
    )
    async with gateway(settings) as base:
        yield base


async def test_a_preflight_needs_no_key(page_url: str, http: aiohttp.ClientSession) -> None:
    """A preflight of an allowed origin is answered with the methods and headers that it may use."""
    async with http.options(page_url + CHAT, headers={"Origin": PAGE, **PREFLIGHT}) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "POST", "DELETE"}
        allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
        assert {"authorization", "content-type"} <= allowed
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["X-Request-Id"]


async def test_a_preflight_of_another_origin_is_refused(page_url: str, http: aiohttp.ClientSession) -> None:
    """A preflight of an origin that isn't listed is 400 and names no origin."""
    async with http.options(page_url + CHAT, headers={"Origin": OTHER, **PREFLIGHT}) as response:
        assert response.status == 400
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_preflight_is_not_counted(page_url: str, http: aiohttp.ClientSession) -> None:
    """Preflights don't count as requests of the completion route in the metrics."""
    async with http.options(page_url + CHAT, headers={"Origin": PAGE, **PREFLIGHT}) as response:
        assert response.status == 200
    async with http.get(f"{page_url}/metrics") as response:
        assert f'route="{CHAT}"' not in await response.text()


async def test_responses_and_errors_are_readable(page_url: str, http: aiohttp.ClientSession) -> None:
    """A script may read a response and an error, and their headers with request id and time of the next try."""
    for path, status in (("/readyz", 200), ("/v1/models", 401), ("/nowhere", 404)):
        async with http.get(page_url + path, headers={"Origin": PAGE}) as response:
            assert response.status == status
            assert response.headers["Access-Control-Allow-Origin"] == PAGE
            exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
            assert {"X-Request-Id", "Retry-After", "ETag", "Location", "Sarlens-Radiometry", "Sarlens-Route"} <= exposed
        async with http.get(page_url + path, headers={"Origin": OTHER}) as response:
            assert response.status == status
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_any_origin_may_be_allowed(worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """With * every origin may call, streams included."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), cors=CorsSettings(origins=("*",)))
    async with (
        gateway(settings) as base,
        http.post(base + CHAT, json={**BODY, "stream": True}, headers={"Origin": OTHER}) as response,
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert (await response.text()).endswith("data: [DONE]\n\n")


async def test_it_is_off_by_default(url: str, http: aiohttp.ClientSession) -> None:
    """Without origins a preflight is an unsupported method, and no response has a header for other origins."""
    async with http.options(url + CHAT, headers={"Origin": PAGE, **PREFLIGHT}) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control")]
    async with http.get(f"{url}/v1/models", headers={"Origin": PAGE}) as response:
        assert response.status == 200
        assert not [name for name in response.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "origin", ["map.example.com", "https://map.example.com/", "null", "", "ftp://x", "https://a b"]
)
def test_an_origin_has_a_scheme_and_a_host(origin: str) -> None:
    """A value that isn't an origin, such as a URL with a path, prevents the start."""
    with pytest.raises(ValidationError):
        CorsSettings(origins=(origin,))
