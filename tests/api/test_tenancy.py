"""Isolation of API keys in every protocol: images at workers, and fields that only operators may set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from support.pictures import DATA_URL
from support.tenants import infer_by_grpc, tenants
from support.workers.fake_worker import MODEL, FakeWorker

OTHERS_ID = "ab" * 32
STOLEN = {"type": "image_pil", "image_pil": None, "uuid": OTHERS_ID}
TEXT = {"type": "text", "text": "Ships?"}


def chat(*parts: Any, **fields: Any) -> dict[str, Any]:
    """A chat with one message of these parts."""
    return {"model": MODEL, "messages": [{"role": "user", "content": list(parts)}], **fields}


def image(**fields: Any) -> dict[str, Any]:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": DATA_URL}, **fields}


def uuids(worker: FakeWorker) -> list[str]:
    """The ids of the images that the worker got."""
    parts = [part for body in worker.requests for part in body["messages"][0]["content"]]
    return [part["uuid"] for part in parts if part["type"] == "image_url"]


def infer(*parts: Any) -> dict[str, Any]:
    """A request of the Open Inference Protocol with messages."""
    messages = json.dumps([{"role": "user", "content": list(parts)}])
    return {"inputs": [{"name": "messages", "datatype": "BYTES", "shape": [1], "data": [messages]}]}


async def test_no_protocol_recalls_an_image_by_its_id(tmp_path: Path, worker: FakeWorker) -> None:
    """A part that names an entry of the worker's cache is rejected in chats, in /v2 and in gRPC."""
    async with tenants(tmp_path, [worker], {"a": {}}) as gateway:
        for part in (STOLEN, {**STOLEN, "type": None}, {**STOLEN, "type": "image_embeds"}):
            status, answer, _ = await gateway.post("a", chat(TEXT, part))
            assert (status, answer["error"]["code"]) == (400, "bad_request")
            status, answer, _ = await gateway.post("a", infer(TEXT, part), f"/v2/models/{MODEL}/infer")
            assert (status, answer["code"]) == (400, "bad_request")
            with pytest.raises(InferenceServerException, match="must be one of"):
                await infer_by_grpc(gateway, "a", TEXT, part)
        assert worker.bodies == []


async def test_no_cache_key_of_a_caller_reaches_a_worker(tmp_path: Path, worker: FakeWorker) -> None:
    """A ``uuid`` next to a text or an image is removed or replaced, in every protocol."""
    async with tenants(tmp_path, [worker], {"a": {}}) as gateway:
        text = {**TEXT, "uuid": OTHERS_ID, "image_pil": None}
        assert (await gateway.post("a", chat(text)))[0] == 200
        assert (await gateway.post("a", infer(text), f"/v2/models/{MODEL}/infer"))[0] == 200
        await infer_by_grpc(gateway, "a", text)
        assert [body["messages"][0]["content"] for body in worker.requests] == [[TEXT]] * 3
        assert (await gateway.post("a", chat(TEXT, image(uuid=OTHERS_ID))))[0] == 200
        await infer_by_grpc(gateway, "a", text, image(uuid=OTHERS_ID))
        assert OTHERS_ID.encode() not in b"".join(worker.bodies)
        assert (len(uuids(worker)), len(set(uuids(worker)))) == (2, 1)


async def test_ids_at_workers_are_secret_and_differ_by_key(tmp_path: Path, worker: FakeWorker) -> None:
    """Gateways with one secret send equal ids for a key; another key or secret, and what callers see, have others."""
    entries: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    shown = []
    for secret in ("first-secret-of-16", "first-secret-of-16", "other-secret-of-16"):
        worker.known.clear()
        async with tenants(tmp_path, [worker], entries, image_id_secret=secret) as gateway:
            for name in entries:
                body = {"image": DATA_URL, "questions": ["Ships?"]}
                status, answer, _ = await gateway.post(name, body, "/v1/sar/vqa")
                assert status == 200
                shown.append(answer["data"][0]["image"]["id"])
    first_a, first_b, second_a, second_b, other_a, other_b = uuids(worker)
    assert (first_a, first_b) == (second_a, second_b)
    assert len({first_a, first_b, other_a, other_b, *shown}) == 5
    assert {len(value) for value in (first_a, *shown)} == {64}


async def test_operators_fields_are_removed_unless_the_key_allows_them(tmp_path: Path, worker: FakeWorker) -> None:
    """The response lists the removed fields; a key that may send a field has its body forwarded byte for byte."""
    fields = {"priority": -9, "kv_transfer_params": {"remote_host": "10.0.0.1"}, "temperature": 0.5}
    async with tenants(tmp_path, [worker], {"a": {}, "op": {"fields": ["kv_transfer_params", "priority"]}}) as gateway:
        status, _, headers = await gateway.post("a", chat(TEXT, **fields))
        assert (status, headers["Sarlens-Ignored-Fields"]) == (200, "priority, kv_transfer_params")
        assert worker.requests[-1] == chat(TEXT, temperature=0.5)
        status, _, headers = await gateway.post("a", {"model": MODEL, "prompt": "p", **fields}, "/v1/completions")
        assert (status, worker.requests[-1]) == (200, {"model": MODEL, "prompt": "p", "temperature": 0.5})
        status, _, headers = await gateway.post("op", chat(TEXT, **fields))
        assert (status, "Sarlens-Ignored-Fields" in headers) == (200, False)
        assert worker.bodies[-1] == json.dumps(chat(TEXT, **fields)).encode()


async def test_workers_get_the_priority_of_the_key(tmp_path: Path, worker: FakeWorker) -> None:
    """With priority scheduling, a worker gets the key's priority and not the caller's; 0 leaves the bytes unchanged."""
    entries: dict[str, dict[str, Any]] = {"first": {"priority": -5}, "usual": {}, "last": {"priority": 7}}
    async with tenants(tmp_path, [worker], entries, priority_scheduling=True) as gateway:
        for name in entries:
            assert (await gateway.post(name, chat(TEXT, priority=-1000)))[0] == 200
            assert (await gateway.post(name, chat(TEXT, image())))[0] == 200
        await infer_by_grpc(gateway, "last", TEXT)
        assert [body.get("priority") for body in worker.requests] == [-5, -5, None, None, 7, 7, 7]
        assert (await gateway.post("usual", chat(TEXT)))[0] == 200
        assert worker.bodies[-1] == json.dumps(chat(TEXT)).encode()
    async with tenants(tmp_path, [worker], entries) as gateway:
        assert (await gateway.post("first", chat(TEXT)))[0] == 200
        assert worker.bodies[-1] == json.dumps(chat(TEXT)).encode()
