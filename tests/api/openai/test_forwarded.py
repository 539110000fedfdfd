"""Embeddings, and the worker routes that the settings name, in front of fake workers."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from sarlens.errors import StartupError
from sarlens.settings import Settings, WorkerSettings, load_settings
from support.gateway import gateway
from support.pictures import DATA_URL
from support.tenants import tenants
from support.workers.fake_worker import MODEL, FakeWorker

EMBEDDINGS, SCORE = "/v1/embeddings", "/v1/score"
IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": DATA_URL, "sar": {"size": 32}}}
MESSAGES: Any = [{"role": "user", "content": [IMAGE, {"type": "text", "text": "Represent the image."}]}]


async def test_the_sdk_embeds_texts(url: str, worker: FakeWorker) -> None:
    """OpenAI's SDK, which requests base64, reads a vector per text and the usage; the body is forwarded unchanged."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
        answer = await sdk.embeddings.create(model=MODEL, input=["Radar", "two ships"])
    assert [item.embedding for item in answer.data] == [[5.0, 0.5], [9.0, 0.5]]
    assert answer.usage.total_tokens == 3
    assert worker.requests == [{"model": MODEL, "input": ["Radar", "two ships"], "encoding_format": "base64"}]


@pytest.mark.parametrize("field", ["messages", "input"])
async def test_a_radar_image_is_embedded(tmp_path: Path, worker: FakeWorker, field: str) -> None:
    """Messages with an image, in ``input`` too, reach the worker as data of 32 pixels each time; tokens are charged."""
    async with tenants(tmp_path, [worker], {"a": {"tokens_per_minute": 1000}}) as gateway:
        for _ in range(2):
            status, answer, _ = await gateway.post("a", {"model": MODEL, field: MESSAGES}, EMBEDDINGS)
            assert (status, len(answer["data"])) == (200, 1)
        usage = json.loads((await gateway.get("a", "/v1/usage"))[1])
    assert (usage["requests"], usage["tokens"]) == (2, 2 * answer["usage"]["total_tokens"])
    for body in worker.requests:
        assert body.keys() == {"model", "messages"}
        data = body["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (32, 24)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"input": [{"content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}}]}]}, 400),
        ({"messages": [[{"role": "user", "content": [IMAGE]}]]}, 400),
        ({"messages": [{"role": "user", "content": [{**IMAGE, "image_url": {"url": "s3://secret/a.tif"}}]}]}, 403),
        ({"images": ["http://10.0.0.1/a.png"]}, 400),
        ({"input": {"content": [{"type": "text", "text": "Radar", "uuid": "ab"}]}}, 400),
        ({"input": "Radar", "stream": True}, 400),
        ({"model": "secret", "input": "Radar"}, 404),
        ({"input": "Radar", "encoding_format": "bytes"}, 400),
    ],
)
async def test_nothing_that_a_worker_would_fetch_passes(
    tmp_path: Path, worker: FakeWorker, fields: dict[str, Any], status: int
) -> None:
    """An address outside messages, an image of another key, a stream and bytes are errors of the caller."""
    async with tenants(tmp_path, [worker], {"a": {"images": ["data:"]}}, breaker_failure_threshold=1) as gateway:
        answered, answer, _ = await gateway.post("a", {"model": MODEL, **fields}, EMBEDDINGS)
        assert (answered, bool(answer["error"]["message"])) == (status, True)
        assert len(worker.bodies) == ("encoding_format" in fields)
        assert 'sarlens_worker_breaker_open{worker="' + worker.url + '"} 0.0' in (await gateway.get("a", "/metrics"))[1]
        assert (await gateway.post("a", {"input": "Radar"}, EMBEDDINGS))[0] == 200


async def test_the_settings_add_routes_of_workers(tmp_path: Path, worker: FakeWorker) -> None:
    """A route of the settings has keys, quotas and its own label in metrics; others are 404 without a worker."""
    keys: dict[str, dict[str, Any]] = {"a": {"requests_per_minute": 1}, "other": {"models": ["x"]}}
    async with tenants(tmp_path, [worker], keys, forward_paths=(SCORE,)) as gateway:
        body = {"model": MODEL, "query": "ships", "documents": ["a", "b"], "cache_salt": "x"}
        status, answer, headers = await gateway.post("a", body, SCORE)
        assert (status, answer["object"], headers["Sarlens-Ignored-Fields"]) == (200, "list", "cache_salt")
        assert (await gateway.post("a", body, SCORE))[0] == 429
        assert (await gateway.post("other", body, SCORE))[0] == 404
        assert (await gateway.get(None, SCORE))[0] == 401
        assert (await gateway.get("a", SCORE))[0] == 405
        assert (await gateway.post("a", body, "/v1/rerank"))[0] == 404
        assert f'outcome="answered",route="{SCORE}",status="200"' in (await gateway.get("a", "/metrics"))[1]
    assert [(path, body["documents"]) for path, body in zip(worker.paths, worker.requests, strict=True)] == [
        (SCORE, ["a", "b"])
    ]


async def test_a_model_without_the_feature_is_no_failure_of_its_worker(tmp_path: Path, worker: FakeWorker) -> None:
    """The 501 of a worker reaches the caller, isn't tried elsewhere, and leaves the circuit breaker closed."""
    worker.fails_with = (501, '{"error": {"message": "No scores.", "type": "NotImplementedError", "code": 501}}')
    async with tenants(tmp_path, [worker], {"a": {}}, breaker_failure_threshold=1) as gateway:
        status, answer, _ = await gateway.post("a", {"input": "Radar"}, EMBEDDINGS)
        assert (status, answer["error"]["message"]) == (501, "No scores.")
        worker.fails_with = None
        assert (await gateway.post("a", {"input": "Radar"}, EMBEDDINGS))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/inference/v1/generate",
        "/v1/chat/completions/render",
        "/v1/chat/completions/derender",
        "/v1/load_lora_adapter",
        "/scale_elastic_ep",
        "/collective_rpc",
        "/reset_prefix_cache",
        "/update_weights",
        "/sleep",
        "/v1/../sleep",
        "score",
        "/v1/score?x=1",
        "/" + "a" * 128,
    ],
)
def test_routes_for_operators_are_refused(path: str) -> None:
    """Routes of administration, and those of parts of a request, can't be forwarded; a path has one form."""
    with pytest.raises(StartupError, match="SARLENS_WORKER__FORWARD_PATHS"):
        load_settings({"worker": {"forward_paths": [path]}})


@pytest.mark.parametrize("path", ["/v1/chat/completions", EMBEDDINGS, "/v1/messages", "/tokenize", "/jobs"])
async def test_a_route_of_the_gateway_is_not_forwarded(worker: FakeWorker, path: str) -> None:
    """A path that the gateway serves itself is an error at the start, unless it has no POST."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,), forward_paths=(path,)))
    if path == "/jobs":
        async with gateway(settings):
            return
    with pytest.raises(StartupError, match="is a route of the gateway"):
        async with gateway(settings):
            pass
