"""A gateway with API keys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from sarlens.admission.keys import new_key
from sarlens.settings import KeysSettings, Settings, WorkerSettings
from stack.fake_worker import MODEL, FakeWorker, fake_worker
from stack.gateway import gateway

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}


def about(url: str) -> dict[str, Any]:
    """A chat about an image."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Ships?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}]}


Ask = tuple[int, dict[str, Any], dict[str, str]]


class Caller:
    """Asks with one key or another."""

    def __init__(self, http: aiohttp.ClientSession, url: str, secrets: dict[str, str]) -> None:
        self._http, self._url, self._secrets = http, url, secrets

    async def ask(self, name: str | None, body: dict[str, Any], path: str = "/v1/chat/completions") -> Ask:
        """Post, as the holder of a key."""
        headers = {"Authorization": f"Bearer {self._secrets.get(name, name)}"} if name else {}
        async with self._http.post(self._url + path, json=body, headers=headers) as response:
            return response.status, await response.json(), dict(response.headers)

    async def get(self, name: str | None, path: str) -> tuple[int, Any]:
        """Get, as the holder of a key."""
        headers = {"Authorization": f"Bearer {self._secrets[name]}"} if name else {}
        async with self._http.get(self._url + path, headers=headers) as response:
            return response.status, await response.read()


@asynccontextmanager
async def locked(folder: Path, **entries: dict[str, Any]) -> AsyncIterator[tuple[Caller, FakeWorker]]:
    """A gateway whose callers have these keys."""
    issued = {name: new_key() for name in entries}
    path = folder / "keys.json"
    path.write_text(json.dumps([{"name": n, "sha256": issued[n][1], **entry} for n, entry in entries.items()]))
    async with fake_worker() as worker, aiohttp.ClientSession() as http:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=path))
        async with gateway(settings) as url:
            yield Caller(http, url, {name: secret for name, (secret, _) in issued.items()}), worker


async def test_without_a_known_key_nothing_is_answered(tmp_path: Path) -> None:
    """No key, an unknown and a revoked one are 401 on every route that works; health and metrics stay open."""
    async with locked(tmp_path, gis={}, gone={"disabled": True}) as (caller, worker):
        for name in (None, "sar-unknown", "gone"):
            for path in ("/v1/chat/completions", "/v1/sar/vqa", "/v1/nowhere"):
                status, answer, _ = await caller.ask(name, CHAT, path)
                assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert (await caller.get(None, "/v1/models"))[0] == 401
        for path in ("/healthz", "/readyz", "/health", "/metrics"):
            assert (await caller.get(None, path))[0] == 200
        assert not worker.bodies
        assert (await caller.ask("gis", CHAT))[0] == 200


async def test_a_key_opens_its_models_and_images_alone(tmp_path: Path) -> None:
    """Another model or bucket is 403 on every route, before anything is fetched: the store here does not exist."""
    entries = {"nano": {"images": ["s3://open", "data:"]}, "other": {"models": ["other-*"]}}
    async with locked(tmp_path, **entries) as (caller, worker):
        bad = "s3://secret/port.tif"
        for body, path in (
            (about(bad), "/v1/chat/completions"),
            ({"image": bad, "questions": ["Ships?"]}, "/v1/sar/vqa"),
            ({"image": bad}, "/v1/sar/captions"),
        ):
            status, answer, _ = await caller.ask("nano", body, path)
            assert (status, answer["error"]["code"]) == (403, "not_allowed"), path
            assert (await caller.ask("other", body, path))[0] == 403
        assert (await caller.get("nano", f"/v1/sar/picture?url={bad}"))[0] == 403
        assert (await caller.ask("other", {**CHAT, "model": None}))[0] == 403
        assert (await caller.get("other", f"/v1/models/{MODEL}"))[0] == 403
        assert json.loads((await caller.get("other", "/v1/models"))[1])["data"] == []
        assert not worker.bodies
        assert (await caller.ask("nano", about(PIXEL)))[0] == 200


async def test_callers_do_not_share_what_workers_remember(tmp_path: Path) -> None:
    """The same private image has another name at the worker for each key, so that no cache tells who asked before."""
    async with locked(tmp_path, one={}, two={}) as (caller, worker):
        for name in ("one", "two", "one"):
            assert (await caller.ask(name, about(PIXEL)))[0] == 200
        first, second, third = (body["messages"][0]["content"][0]["uuid"] for body in worker.requests)
        assert (first == third, first == second) == (True, False)


async def test_quotas_say_when_to_come_again(tmp_path: Path) -> None:
    """Beyond its requests or tokens a key gets 429 with Retry-After; many questions are many requests."""
    async with locked(
        tmp_path, few={"requests_per_minute": 2}, short={"tokens_per_minute": 80}, many={"requests_per_minute": 5}
    ) as (caller, _):
        assert [(await caller.ask("few", CHAT))[0] for _ in range(3)] == [200, 200, 429]
        assert [(await caller.ask("short", CHAT))[0] for _ in range(2)] == [200, 200]
        status, answer, headers = await caller.ask("short", CHAT)
        assert (status, answer["error"]["code"]) == (429, "quota_exceeded")
        assert int(headers["Retry-After"]) > 1
        questions = {"image": PIXEL, "questions": ["Ships?"] * 4}
        assert [(await caller.ask("many", questions, "/v1/sar/vqa"))[0] for _ in range(2)] == [200, 429]


async def test_neither_key_nor_prompt_is_logged(tmp_path: Path) -> None:
    """What is logged of refused and answered requests names no key, no hash, no prompt and no image."""
    async with locked(tmp_path, gis={"images": ["s3://open"]}) as (caller, worker):
        with structlog.testing.capture_logs() as logged:
            await caller.ask("sar-unknown-key", CHAT)
            await caller.ask("gis", about(PIXEL))
            worker.resets = True
            await caller.ask("gis", CHAT)
        said = str(logged)
        assert logged
        digest = json.loads((tmp_path / "keys.json").read_text())[0]["sha256"]
        assert not any(word in said for word in ("sar-", "How many", "iVBOR", digest))


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``sarlens``."""
    return subprocess.run(  # noqa: PLW1510  the exit code is what is tested
        [sys.executable, "-m", "sarlens", *words], capture_output=True, text=True, timeout=60, env=environment
    )


def test_the_command_makes_a_key_that_opens(tmp_path: Path) -> None:
    """``sarlens key`` prints the key on standard error and an entry that a file of keys can hold."""
    made = command("key", "gis", "--images", "s3://scenes", "--requests-per-minute", "600")
    entry = json.loads(made.stdout)
    assert entry["name"] == "gis"
    assert "sar-" in made.stderr
    assert entry["sha256"] not in made.stderr
    (tmp_path / "keys.json").write_text(f"[{made.stdout}]")
    assert command("key", "gis", "--images", "ftp://scenes").returncode == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_keys_it_listens_to_this_machine_only(host: str) -> None:
    """Binding where others can reach it is refused without keys, unless asked for by name; a bad file is refused."""
    refused = command("serve", "--host", host, "--worker", "http://127.0.0.1:9")
    assert refused.returncode == 1
    assert "--open" in refused.stderr
    wrong = command("serve", "--worker", "http://127.0.0.1:9", "--port", "0", SARLENS_KEYS__FILE="/nonexistent")
    assert wrong.returncode == 1
    assert "keys cannot be read" in wrong.stderr
