"""Isolation of the files and batches of API keys, and what they count for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import BatchSettings, FilesSettings, KeysSettings, Settings, WorkerSettings
from support.batches import create, ended, lines_of, upload
from support.gateway import gateway
from support.tenants import Tenants, tenants
from support.workers.fake_worker import MODEL, FakeWorker

CHAT = "/v1/chat/completions"


def sdk_of(gateway_of_keys: Tenants, name: str) -> openai.AsyncOpenAI:
    """OpenAI's SDK with the key of a caller."""
    secret = gateway_of_keys.secrets[name]
    return openai.AsyncOpenAI(base_url=f"{gateway_of_keys.url}/v1", api_key=secret, max_retries=0)


def chats(*texts: str) -> dict[str, Any]:
    """A chat for each text."""
    return {text: {"model": MODEL, "messages": [{"role": "user", "content": text}]} for text in texts}


async def test_files_and_batches_of_another_key_do_not_exist(tmp_path: Path, worker: FakeWorker) -> None:
    """Another key gets 404 for each route with an id, empty lists, and no batch of the file, also with valid ids."""
    async with (
        tenants(tmp_path, [worker], {"a": {}, "b": {}}) as both,
        sdk_of(both, "a") as owner,
        sdk_of(both, "b") as other,
    ):
        batch = await ended(owner, (await create(owner, CHAT, chats("x"))).id)
        assert batch.output_file_id is not None
        for file_id in (batch.input_file_id, batch.output_file_id):
            for request in (other.files.retrieve, other.files.content, other.files.delete):
                with pytest.raises(openai.NotFoundError, match="doesn't exist"):
                    await request(file_id)
        for act in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError, match="doesn't exist"):
                await act(batch.id)
        with pytest.raises(openai.NotFoundError, match="doesn't exist"):
            await other.batches.create(
                input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
            )
        assert [file async for file in other.files.list()] == []
        assert [found async for found in other.batches.list()] == []
        with pytest.raises(openai.BadRequestError):
            await other.files.list(after=batch.input_file_id)
        for path in ("/jobs", "/v1/sar/surveys"):
            status, text = await both.get("a", f"{path}/{batch.id.removeprefix('batch_')}")
            assert (status, "doesn't exist" in text) == (404, True)
        assert json.loads((await both.get("a", "/jobs"))[1])["jobs"] == []
        assert len(await lines_of(owner, batch.output_file_id)) == 1


async def test_lines_count_for_the_key_of_the_batch(tmp_path: Path, worker: FakeWorker) -> None:
    """Requests, tokens, models and images are those of the key, and its priority is one step behind."""
    entries: dict[str, dict[str, Any]] = {"a": {"images": ["s3://mine"], "priority": 3}}
    async with tenants(tmp_path, [worker], entries, priority_scheduling=True) as keys, sdk_of(keys, "a") as sdk:
        image = {"type": "image_url", "image_url": {"url": "s3://others/x.tif"}}
        bodies = chats("1", "2") | {"image": {"messages": [{"role": "user", "content": [image]}]}}
        batch = await ended(sdk, (await create(sdk, CHAT, bodies)).id)
        assert batch.request_counts is not None
        assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
        (error,) = await lines_of(sdk, batch.error_file_id)
        assert error["response"]["body"]["error"]["code"] == "not_allowed"
        usage = json.loads((await keys.get("a", "/v1/usage"))[1])
        # The upload, the batch, and the two lines that were allowed; a word is a token of an answer.
        assert (usage["requests"], usage["tokens"]) == (4, 2 * 74)
        assert [body["priority"] for body in worker.requests] == [4, 4]


async def test_lines_wait_for_the_quota(tmp_path: Path, worker: FakeWorker) -> None:
    """Lines over the quota of the key run when it has requests again, and none fails."""
    entries: dict[str, dict[str, Any]] = {"a": {"requests_per_minute": 60}}
    async with tenants(tmp_path, [worker], entries) as keys, sdk_of(keys, "a") as sdk:
        batch = await create(sdk, CHAT, chats(*(str(index) for index in range(60))))
        batch = await ended(sdk, batch.id)
        assert batch.request_counts is not None
        assert (batch.request_counts.completed, batch.request_counts.failed) == (60, 0)
        assert len(worker.bodies) == 60


@asynccontextmanager
async def limited(tmp_path: Path, worker: FakeWorker, **limits: Any) -> AsyncIterator[tuple[openai.AsyncOpenAI, Path]]:
    """The SDK of the key ``a``, and the file with the keys."""
    secret, digest = generate_api_key()
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"name": "a", "sha256": digest}]))
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        keys=KeysSettings(file=path),
        files=FilesSettings(**limits),
        batch=BatchSettings(max_concurrent_lines=1),
    )
    async with (
        gateway(settings) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0) as sdk,
    ):
        yield sdk, path


async def test_files_have_limits(tmp_path: Path, worker: FakeWorker) -> None:
    """A file, the files of a key and their number have limits, and a rejected upload leaves nothing on the disk."""
    limits = {"max_file_bytes": 100, "max_stored_bytes_per_key": 150, "max_files_per_key": 2}
    async with limited(tmp_path, worker, **limits) as (sdk, _):
        with pytest.raises(openai.APIStatusError, match="at most 100 bytes") as raised:
            await upload(sdk, b"x" * 101)
        assert raised.value.status_code == 413
        first = await upload(sdk, b"x" * 100)
        with pytest.raises(openai.APIStatusError, match="limit of 150 bytes"):
            await upload(sdk, b"x" * 51)
        await upload(sdk, b"x" * 50)
        with pytest.raises(openai.RateLimitError, match="limit is 2"):
            await upload(sdk, b"")
        folder = tmp_path / "state" / "sarlens" / "files"
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) == 150
        await sdk.files.delete(first.id)
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) == 50


async def test_a_removed_key_ends_its_batch(tmp_path: Path, worker: FakeWorker) -> None:
    """When the key is removed, its batch fails, its later lines don't run, and the results so far are kept."""
    async with limited(tmp_path, worker) as (sdk, keys):
        entries = keys.read_text()

        def says(body: dict[str, Any]) -> str:
            if body["messages"][0]["content"] == "b":
                keys.write_text("[]")
            return "yes"

        worker.says = says
        worker.slow = '"content": "c'
        batch = await create(sdk, CHAT, chats("a", "b", *("c" * count for count in range(1, 30))))
        while not worker.bodies or keys.read_text() == entries:
            await sdk.models.list()
        while True:
            try:
                await sdk.models.list()
            except openai.AuthenticationError:
                break
        keys.write_text(entries)
        while True:
            try:
                batch = await ended(sdk, batch.id)
                break
            except openai.AuthenticationError:
                pass
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [error.code for error in batch.errors.data or ()] == ["invalid_api_key"]
        assert batch.request_counts is not None
        assert 2 <= batch.request_counts.completed < 31
        assert len(await lines_of(sdk, batch.output_file_id)) == batch.request_counts.completed == len(worker.bodies)
