"""Clients that stall, or that speak HTTP in unusual ways, in front of a whole gateway."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import AdmissionSettings, KeysSettings, ServerSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.pictures import DATA_URL
from support.raw_http import RawClient
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}
CHAT_BODY = json.dumps(CHAT).encode()
ROUTE = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"


def port_of(url: str) -> int:
    """The port of a base URL."""
    return int(url.rpartition(":")[2])


@asynccontextmanager
async def gateway_with_keys(folder: Path, *names: str, **settings: Any) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A gateway with a fake worker and API keys; its URL and the secrets by name."""
    issued = {name: generate_api_key() for name in names}
    path = folder / "keys.json"
    path.write_text(json.dumps([{"name": name, "sha256": digest} for name, (_, digest) in issued.items()]))
    async with fake_worker() as worker:
        urls = WorkerSettings(urls=(worker.url,))
        async with gateway(Settings(worker=urls, keys=KeysSettings(file=path), **settings)) as url:
            yield url, {name: secret for name, (secret, _) in issued.items()}


@contextmanager
def uploads(url: str, secret: str, number: int, *pieces: bytes) -> Iterator[list[RawClient]]:
    """Open connections with the same pieces of an incomplete request."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(port_of(url))) for _ in range(number)]
        for client in clients:
            client.send(ROUTE + f"Authorization: Bearer {secret}\r\n".encode(), *pieces)
        yield clients


async def post(url: str, secret: str, body: bytes) -> int:
    """The status of a chat with a key, on a connection of its own."""
    headers = {"Authorization": f"Bearer {secret}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/chat/completions", data=body, headers=headers) as response,
    ):
        await response.read()
        return response.status


STALLED = {
    "length": (b"Content-Length: 67108864\r\n\r\n", b"{"),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", b"4000000\r\n{"),
}


@pytest.mark.parametrize("number", [8, 64])
@pytest.mark.parametrize("framing", STALLED)
async def test_stalled_uploads_do_not_stop_other_keys(tmp_path: Path, framing: str, number: int) -> None:
    """Next to 8 or 64 uploads that stall after one byte of 64 MiB, another key's small and 7 MB requests are 200."""
    large = json.dumps({**CHAT, "user": "x" * 7_000_000}).encode()
    async with gateway_with_keys(tmp_path, "stalls", "works") as (url, secrets):
        with uploads(url, secrets["stalls"], number, *STALLED[framing]):
            began = time.monotonic()
            assert [await post(url, secrets["works"], body) for body in (CHAT_BODY, large, CHAT_BODY)] == [200] * 3
            assert await post(url, secrets["stalls"], CHAT_BODY) == 200
            # Far below the time after which the stalled uploads end.
            assert time.monotonic() - began < 5


async def test_stalled_uploads_use_only_the_share_of_their_key(tmp_path: Path) -> None:
    """Uploads that stall after 1 MB use half of the memory of 6 MB: the fourth one is 503, another key's is 200."""
    admission = AdmissionSettings(max_body_bytes=6 * 2**20)
    limit = {"max_body_bytes": 2**20 * 2}
    settings = {"admission": admission, "limit": limit}
    async with gateway_with_keys(tmp_path, "stalls", "works", **settings) as (url, secrets):
        megabyte = b"x" * 2**20
        with uploads(url, secrets["stalls"], 3, b"Content-Length: 2000000\r\n\r\n", megabyte):
            body = json.dumps({**CHAT, "user": "x" * 1_500_000}).encode()
            async with asyncio.timeout(30):
                while await post(url, secrets["stalls"], body) != 503:
                    await asyncio.sleep(0.05)
            assert await post(url, secrets["works"], body) == 200


async def test_a_stalled_upload_is_408(tmp_path: Path) -> None:
    """A stalled body is 408 with the request's id, is counted, and leaves no memory reserved."""
    limits = ServerSettings(read_timeout_s=0.2)
    async with gateway_with_keys(tmp_path, "stalls", server=limits) as (url, secrets):
        with uploads(url, secrets["stalls"], 1, b"X-Request-Id: slow-1\r\nContent-Length: 99\r\n\r\n{") as (client,):
            response = await asyncio.to_thread(client.response)
            assert (response.status, response.headers["connection"]) == (408, "close")
            error = json.loads(response.body)["error"]
            assert (error["code"], error["request_id"]) == ("request_timeout", "slow-1")
            assert await asyncio.to_thread(client.at_end)
        headers = {"Authorization": f"Bearer {secrets['stalls']}"}
        async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{url}/metrics") as page:
            text = await page.text()
    route = 'route="/v1/chat/completions"'
    assert f'sarlens_requests_total{{outcome="refused",{route},status="408"}} 1.0' in text
    assert 'sarlens_errors_total{code="request_timeout"} 1.0' in text
    assert 'sarlens_http_connections_closed_total{reason="body_timeout"} 1.0' in text


async def test_a_client_that_does_not_read_releases_its_slot() -> None:
    """The only slot is free again, and the worker's request aborted, after a client stopped reading its stream."""
    limits = ServerSettings(write_timeout_s=0.3)
    async with fake_worker(words=("x" * 100_000,) * 200) as worker:
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)),
            server=limits,
            admission=AdmissionSettings(max_requests_per_worker=1),
        )
        async with gateway(settings) as url:
            body = json.dumps({**CHAT, "stream": True}).encode()
            with RawClient(port_of(url), receive_bytes=4096) as client:
                client.send(ROUTE + b"Content-Length: %d\r\n\r\n" % len(body), body)
                async with asyncio.timeout(30):
                    while not worker.running:
                        await asyncio.sleep(0.01)
                assert await post(url, "", CHAT_BODY) == 200
                assert worker.aborted == 1


async def test_an_upgrade_reaches_the_worker_with_its_body(worker: FakeWorker, url: str) -> None:
    """A chat with the upgrade to h2c of a JDK client reaches the worker byte for byte, twice on one connection."""
    head = ROUTE + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    with RawClient(port_of(url)) as client:
        for framing in (b"Content-Length: %d\r\n\r\n" % len(CHAT_BODY) + CHAT_BODY, chunked(CHAT_BODY)):
            client.send(head, framing)
            response = await asyncio.to_thread(client.response)
            assert (response.version, response.status) == ("HTTP/1.1", 200)
    assert worker.bodies == [CHAT_BODY] * 2
    assert not {"upgrade", "http2-settings"} & {name.lower() for name in worker.headers[0]}


def chunked(body: bytes) -> bytes:
    """The rest of a request with a body in two chunks."""
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:9], body[9:]))
    return b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


GET_PATHS = [
    *("/", "/conformance", "/processes", "/processes/echo", "/jobs", "/jobs/no-such", "/collections"),
    *("/healthz", "/readyz", "/health", "/metrics", "/docs", "/openapi.json", "/nowhere"),
    *("/v1/models", f"/v1/models/{MODEL}", "/v1/models/no-such", "/v1/sar/surveys", "/v1/sar/picture"),
    *("/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready"),
]


@pytest.mark.parametrize("path", GET_PATHS)
async def test_head_has_the_headers_of_get(url: str, path: str) -> None:
    """HEAD has the status and headers of GET and no body, also for an error."""
    found = []
    async with aiohttp.ClientSession(url, headers={"X-Request-Id": "id-1"}) as http:
        for method in ("GET", "HEAD", "GET"):
            async with http.request(method, path) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                found.append((response.status, headers | {"date": ""}, await response.read()))
    (status, headers, _), head, (again, _, _) = found
    if path == "/metrics":  # which grows from request to request
        headers["content-length"] = head[1]["content-length"]
    assert head == (status, headers, b"")
    assert again == status


async def test_head_on_a_picture_renders_nothing(url: str) -> None:
    """HEAD has the id of the image and its radiometry as GET does, and decodes and renders no pixel."""
    params = {"url": DATA_URL, "size": "40"}
    found = []
    async with aiohttp.ClientSession(url) as http:
        for method in ("HEAD", "GET"):
            async with http.request(method, "/v1/sar/picture", params=params) as response:
                headers = [response.headers[name] for name in ("ETag", "Sarlens-Radiometry", "Cache-Control")]
                found.append((response.status, headers))
            async with http.get("/metrics") as response:
                page = await response.text()
            decoded = re.search(r'^sarlens_stage_duration_seconds_count\{stage="decode"\} (\S+)', page, re.MULTILINE)
            assert (decoded is not None and float(decoded[1]) > 0) == (method == "GET")
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v1/models", "GET, HEAD"),
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/completions", "POST"),
        ("PUT", "/v1/sar/surveys", "GET, HEAD, POST"),
        ("PUT", "/jobs/x", "DELETE, GET, HEAD"),
        ("PATCH", "/v1/sar/vqa", "POST"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v2/models/m/infer", "POST"),
    ],
)
async def test_405_lists_the_methods_of_the_path(url: str, method: str, path: str, allow: str) -> None:
    """Allow has the methods of all routes of the path."""
    async with aiohttp.ClientSession(url) as http, http.request(method, path) as response:
        assert (response.status, response.headers["Allow"]) == (405, allow)


async def test_keys_in_other_headers(tmp_path: Path) -> None:
    """Api-Key and X-Api-Key authenticate, two different keys are 401 with WWW-Authenticate, and workers get none."""
    async with fake_worker() as worker:
        secret, digest = generate_api_key()
        path = tmp_path / "keys.json"
        path.write_text(json.dumps([{"name": "gis", "sha256": digest}]))
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=path))
        async with gateway(settings) as url, aiohttp.ClientSession(url) as http:
            for headers in (
                {"api-key": secret},
                {"X-Api-Key": secret},
                {"api-key": secret, "x-api-key": secret, "Authorization": f"Bearer {secret}"},
            ):
                async with http.post("/v1/chat/completions", data=CHAT_BODY, headers=headers) as response:
                    assert response.status == 200
            for headers in ({}, {"api-key": secret, "x-api-key": "other"}, {"x-api-key": "other"}):
                async with http.post("/v1/chat/completions", data=CHAT_BODY, headers=headers) as response:
                    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert len(worker.bodies) == 3
        assert all(secret not in str(headers) and "api-key" not in headers for headers in worker.headers)
