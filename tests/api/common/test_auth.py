"""A gateway with API keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}


def chat_about(url: str) -> dict[str, Any]:
    """A chat about an image."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Ships?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}]}


Reply = tuple[int, dict[str, Any], dict[str, str]]


class Client:
    """Sends requests with one key or another."""

    def __init__(self, http: aiohttp.ClientSession, url: str, secrets: dict[str, str]) -> None:
        self._http, self._url, self._secrets = http, url, secrets

    async def post(self, name: str | None, body: dict[str, Any], path: str = "/v1/chat/completions") -> Reply:
        """POST with the key of that name, or with an unknown key."""
        headers = {"Authorization": f"Bearer {self._secrets.get(name, name)}"} if name else {}
        async with self._http.post(self._url + path, json=body, headers=headers) as response:
            return response.status, await response.json(), dict(response.headers)

    async def get(self, name: str | None, path: str) -> tuple[int, Any]:
        """GET with the key of that name."""
        headers = {"Authorization": f"Bearer {self._secrets[name]}"} if name else {}
        async with self._http.get(self._url + path, headers=headers) as response:
            return response.status, await response.read()


@asynccontextmanager
async def gateway_with_keys(folder: Path, **entries: dict[str, Any]) -> AsyncIterator[tuple[Client, FakeWorker]]:
    """A gateway with these API keys."""
    issued = {name: generate_api_key() for name in entries}
    path = folder / "keys.json"
    path.write_text(json.dumps([{"name": n, "sha256": issued[n][1], **entry} for n, entry in entries.items()]))
    async with fake_worker() as worker, aiohttp.ClientSession() as http:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=path))
        async with gateway(settings) as url:
            yield Client(http, url, {name: secret for name, (secret, _) in issued.items()}), worker


async def test_a_key_is_required(tmp_path: Path) -> None:
    """No key, an unknown key and a disabled one are 401, also for metrics; health and static pages need none."""
    async with gateway_with_keys(tmp_path, gis={}, gone={"disabled": True}) as (client, worker):
        for name in (None, "sar-unknown", "gone"):
            for path in ("/v1/chat/completions", "/v1/sar/vqa", "/v1/nowhere"):
                status, answer, _ = await client.post(name, CHAT, path)
                assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        for path in ("/v1/models", "/metrics", "/openapi.json"):
            assert (await client.get(None, path))[0] == 401
            assert (await client.get("gis", path))[0] == 200
        for path in ("/healthz", "/readyz", "/health", "/version", "/docs", "/redoc", "/console"):
            assert (await client.get(None, path))[0] == 200
        assert not worker.bodies
        assert (await client.post("gis", CHAT))[0] == 200


async def test_a_key_allows_its_models_and_images_only(tmp_path: Path) -> None:
    """Another bucket is 403, and another model 404, on every route, before the gateway reads from the store."""
    entries = {"nano": {"images": ["s3://open", "data:"]}, "other": {"models": ["other-*"]}}
    async with gateway_with_keys(tmp_path, **entries) as (client, worker):
        secret_url = "s3://secret/port.tif"
        for body, path in (
            (chat_about(secret_url), "/v1/chat/completions"),
            ({"image": secret_url, "questions": ["Ships?"]}, "/v1/sar/vqa"),
            ({"image": secret_url}, "/v1/sar/captions"),
        ):
            status, answer, _ = await client.post("nano", body, path)
            assert (status, answer["error"]["code"]) == (403, "not_allowed"), path
            assert (await client.post("other", body, path))[0] == 404
        assert (await client.get("nano", f"/v1/sar/picture?url={secret_url}"))[0] == 403
        assert (await client.post("other", {**CHAT, "model": None}))[0] == 404
        assert (await client.get("other", f"/v1/models/{MODEL}"))[0] == 404
        assert json.loads((await client.get("other", "/v1/models"))[1])["data"] == []
        assert not worker.bodies
        assert (await client.post("nano", chat_about(PIXEL)))[0] == 200


async def test_keys_do_not_share_images_in_worker_caches(tmp_path: Path) -> None:
    """A private image has a different id at the worker for each key, so a cache hit reveals no other key's request."""
    async with gateway_with_keys(tmp_path, one={}, two={}) as (client, worker):
        for name in ("one", "two", "one"):
            assert (await client.post(name, chat_about(PIXEL)))[0] == 200
        first, second, third = (body["messages"][0]["content"][0]["uuid"] for body in worker.requests)
        assert (first == third, first == second) == (True, False)


async def test_quotas_state_when_to_retry(tmp_path: Path) -> None:
    """Beyond its requests or tokens a key gets 429; Retry-After is the time until the bucket has enough again."""
    async with gateway_with_keys(
        tmp_path, few={"requests_per_minute": 2}, short={"tokens_per_minute": 80}, many={"requests_per_minute": 5}
    ) as (client, _):
        assert [(await client.post("few", CHAT))[0] for _ in range(2)] == [200, 200]
        status, answer, headers = await client.post("few", CHAT)
        assert (status, answer["error"]["code"]) == (429, "quota_exceeded")
        # A bucket of 2 requests gains one in 30 s.
        assert int(headers["Retry-After"]) in {29, 30}
        assert [(await client.post("short", CHAT))[0] for _ in range(2)] == [200, 200]
        status, answer, headers = await client.post("short", CHAT)
        assert (status, answer["error"]["code"]) == (429, "quota_exceeded")
        # Two answers of 74 tokens leave a bucket of 80 at -68; the one token that is needed comes after 69/80 of 60 s.
        assert int(headers["Retry-After"]) in {51, 52}
        questions = {"image": PIXEL, "questions": ["Ships?"] * 4}
        assert (await client.post("many", questions, "/v1/sar/vqa"))[0] == 200
        status, answer, headers = await client.post("many", questions, "/v1/sar/vqa")
        assert (status, answer["error"]["code"]) == (429, "quota_exceeded")
        # Four questions are four requests: the bucket of 5 is at 1, and gains the missing 3 in 36 s.
        assert int(headers["Retry-After"]) in {35, 36}


async def test_neither_key_nor_prompt_is_logged(tmp_path: Path) -> None:
    """Log lines of rejected and answered requests have no key, no hash, no prompt and no image."""
    async with gateway_with_keys(tmp_path, gis={"images": ["s3://open"]}) as (client, worker):
        with structlog.testing.capture_logs() as logged:
            await client.post("sar-unknown-key", CHAT)
            await client.post("gis", chat_about(PIXEL))
            worker.resets = True
            await client.post("gis", CHAT)
        text = str(logged)
        assert logged
        digest = json.loads((tmp_path / "keys.json").read_text())[0]["sha256"]
        assert not any(word in text for word in ("sar-", "How many", "iVBOR", digest))


def messages(images: int) -> list[dict[str, Any]]:
    """Messages about this many images."""
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": PIXEL}}] * images
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "Ships?"}]}]


def tensors(*inputs: tuple[str, list[str]]) -> dict[str, Any]:
    """The body of an inference request."""
    return {
        "inputs": [
            {"name": name, "datatype": "BYTES", "shape": [len(values)], "data": values} for name, values in inputs
        ]
    }


INFER = f"/v2/models/{MODEL}/infer"


@pytest.mark.parametrize(
    ("path", "body", "requests"),
    [
        ("/v1/chat/completions", CHAT | {"n": 500}, 500),
        ("/v1/chat/completions", CHAT | {"n": "500"}, 500),
        ("/v1/chat/completions", {"model": MODEL, "messages": messages(16)}, 16),
        ("/v1/chat/completions", {"model": MODEL, "messages": messages(2), "n": 20}, 20),
        ("/v1/completions", {"model": MODEL, "prompt": ["Ships?"] * 15, "n": 2}, 30),
        ("/v1/sar/vqa", {"image": PIXEL, "questions": ["Ships?"] * 12}, 12),
        (INFER, tensors(("prompt", ["Ships?"] * 12)), 12),
        (INFER, tensors(("messages", [json.dumps(messages(6)), json.dumps(messages(7))])), 13),
        (INFER, tensors(("image", [PIXEL]), ("messages", [json.dumps(messages(11))])), 12),
    ],
)
async def test_answers_questions_and_images_count(
    tmp_path: Path, path: str, body: dict[str, Any], requests: int
) -> None:
    """After a call that counts c requests, a key of 10 a minute waits (c - 9) x 6 s for its next one."""
    async with gateway_with_keys(tmp_path, gis={"requests_per_minute": 10}) as (client, _):
        assert (await client.post("gis", body, path))[0] == 200
        status, answer, headers = await client.post("gis", CHAT)
        assert (status, answer["error"]["code"]) == (429, "quota_exceeded")
        assert (requests - 9) * 6 - 1 <= int(headers["Retry-After"]) <= (requests - 9) * 6


async def test_a_denied_image_in_messages_costs_nothing(tmp_path: Path) -> None:
    """A 403 for an image in the messages of an inference request leaves the quota as it is."""
    async with gateway_with_keys(tmp_path, gis={"requests_per_minute": 1, "images": ["data:"]}) as (client, _):
        denied = tensors(("messages", [json.dumps(chat_about("s3://secret/port.tif")["messages"])]))
        assert (await client.post("gis", denied, INFER))[0] == 403
        assert (await client.post("gis", CHAT))[0] == 200


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_key_has_its_own_slots_and_queue(tmp_path: Path) -> None:
    """With ``max_parallel`` and ``max_queued`` 1, a key's third request is 429, and another key is served meanwhile."""
    limited = {"max_parallel": 1, "max_queued": 1}
    async with gateway_with_keys(tmp_path, limited=limited, free={}) as (client, worker):
        worker.hangs = True
        asked = [asyncio.create_task(client.post("limited", CHAT)) for _ in range(2)]
        await until(lambda: worker.running == 1)
        await until_queued(client, 1)
        status, answer, headers = await client.post("limited", CHAT)
        assert (status, answer["error"]["code"], headers["Retry-After"]) == (429, "quota_exceeded", "1")
        other = asyncio.create_task(client.post("free", CHAT))
        await until(lambda: worker.running == 2)
        worker.hangs = False
        assert [(await answer)[0] for answer in (other, *asked)] == [200, 200, 200]
        metrics = (await client.get("free", "/metrics"))[1].decode()
        assert 'sarlens_shed_requests_total{reason="key_queue_full"} 1.0' in metrics


async def until_queued(client: Client, requests: int) -> None:
    """Wait until that many requests are in the queue."""
    async with asyncio.timeout(30):
        while f"sarlens_queued_requests {float(requests)}" not in (await client.get("free", "/metrics"))[1].decode():
            await asyncio.sleep(0.01)
