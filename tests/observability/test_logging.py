"""Log lines of a gateway process: fields of the access log, and secrets that no line has."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
import structlog.testing

from sarlens.api.grpc.v1 import sar_pb2 as pb
from sarlens.api.grpc.v1 import sar_pb2_grpc
from sarlens.devstack.ports import free_port
from sarlens.observability.logging import AccessLog, AccessRecord
from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway, until_it_answers
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL, FakeWorker

CHAT = "/v1/chat/completions"
SECRET = "XyZZy"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class GatewayProcess:
    """A gateway, and the responses that it sent."""

    url: str
    grpc: str
    process: asyncio.subprocess.Process
    responses: list[str] = field(default_factory=list)

    async def send(self, method: str, path: str, **options: Any) -> int:
        """Send a request and keep the response with its headers."""
        async with aiohttp.ClientSession() as http, http.request(method, self.url + path, **options) as response:
            self.responses.append(f"{dict(response.headers)} {await response.text()}")
            return response.status

    async def end(self) -> list[dict[str, Any]]:
        """Stop the gateway; its log lines, each of which is JSON."""
        self.process.terminate()
        _, logged = await asyncio.wait_for(self.process.communicate(), 20)
        return [json.loads(line) for line in logged.decode().splitlines()]


@asynccontextmanager
async def gateway_process(worker: str, **environment: str) -> AsyncIterator[GatewayProcess]:
    """A gateway process, ready."""
    port, grpc_port = free_port(), free_port()
    command = ["-m", "sarlens", "serve", "--worker", worker, "--port", str(port)]
    environment |= {
        "SARLENS_GRPC__PORT": str(grpc_port),
        "SARLENS_ACCESS_LOG_RATIO": "1",
        "PYTHONPATH": ":".join(sys.path),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stderr=asyncio.subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await until_it_answers(f"{url}/health")
        yield GatewayProcess(url, f"127.0.0.1:{grpc_port}", process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def chat(image: str | None = None, text: str = "How many ships?", **more: Any) -> dict[str, Any]:
    """A chat, about an image if there is one."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if image:
        parts.append({"type": "image_url", "image_url": {"url": image}})
    return {"model": MODEL, "messages": [{"role": "user", "content": parts}], **more}


async def test_no_secret_leaves_by_logs_errors_or_metrics(worker: FakeWorker, tmp_path: Path) -> None:
    """No log line, metric or error holds a secret: API key, presigned URL, login, prompt, image, header or query.

    The worker's key and the text of a worker's failure are secrets too.
    """
    keys = [{"name": "gis", "sha256": sha256(b"sar-XyZZy-good").hexdigest()}]
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    good = {"Authorization": "Bearer sar-XyZZy-good"}
    environment = {"SARLENS_KEYS__FILE": str(tmp_path / "keys.json"), "SARLENS_WORKER__API_KEY": f"worker-{SECRET}"}
    environment |= {"SARLENS_HTTPS__HOSTS": '["127.0.0.1", "host.invalid"]', "AWS_SECRET_ACCESS_KEY": SECRET}
    environment |= {
        "AWS_ACCESS_KEY_ID": SECRET,
        "SARLENS_S3__REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    }
    hidden = base64.b64encode(SECRET.encode() * 20).decode()
    images = [
        f"s3://scenes/a.tif?versionId=1&X-Amz-Signature={SECRET}",
        f"s3://user:{SECRET}@scenes/a.tif",
        f"https://host.invalid/a.tif?X-Amz-Signature={SECRET}",
        f"https://127.0.0.1:9/a.tif?sig={SECRET}",
        f"https://user:{SECRET}@host.invalid/a.tif",
        f"ftp://user:{SECRET}@host.invalid/a.tif",
        f"data:image/png;base64,{hidden}",
        f"data:image/png;base64,{SECRET}!",
        f"data:{SECRET}",
        SECRET,
    ]
    worker.fails_with = None
    async with gateway_process(worker.url, **environment) as gate:
        for wrong in (f"Bearer {SECRET}", SECRET, f"Basic {SECRET}"):
            assert await gate.send("POST", CHAT, json=chat(), headers={"Authorization": wrong}) == 401
        assert (
            await gate.send("POST", CHAT, json=chat(text=SECRET, user=SECRET), headers={**good, "Cookie": SECRET})
            == 200
        )
        for image in images:
            assert await gate.send("POST", CHAT, json=chat(image, SECRET), headers=good) >= 400
            assert await gate.send("GET", "/v1/sar/picture", params={"url": image}, headers=good) >= 400
            await gate.send("POST", "/v1/sar/captions", json={"image": image, "model": MODEL}, headers=good)
        await gate.send("POST", CHAT, data=f'{{"messages": "{SECRET}', headers=good)
        await gate.send("GET", f"/nothing/{SECRET}?{SECRET}", headers=good)
        await gate.send("POST", CHAT, json=chat(), headers={**good, "X-Request-Id": f"({SECRET})"})
        await gate.send(
            "POST", CHAT, json=chat(), headers={**good, "traceparent": SECRET, "X-Request-Deadline": SECRET}
        )
        trace = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": f"{SECRET},x"}
        await gate.send("POST", CHAT, json=chat(), headers={**good, **trace})
        async with grpc.aio.insecure_channel(gate.grpc) as channel:
            for key in (f"Bearer {SECRET}", good["Authorization"]):
                metadata = (("authorization", key), ("x-other", SECRET))
                request = pb.CaptionRequest(image=pb.Image(url=images[2]), model=MODEL)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await sar_pb2_grpc.SarStub(channel).Caption(request, metadata=metadata)
                gate.responses.append(f"{raised.value.details()} {raised.value.trailing_metadata()}")
        worker.fails_with = (500, f"<html>{SECRET}")
        await gate.send("POST", CHAT, json=chat(text=SECRET), headers=good)
        worker.fails_with, worker.resets = None, True
        await gate.send("POST", CHAT, json=chat(text=SECRET), headers=good)
        await gate.send("GET", "/metrics")
        lines = await gate.end()
    assert len([line for line in lines if line["event"] == "request"]) > 30
    assert not [line for line in lines if SECRET in json.dumps(line)]
    leaks = [answer for answer in gate.responses if SECRET in answer]
    # The path of an unknown page is in its own 404, and in no log line.
    assert [answer for answer in leaks if f"nothing/{SECRET}" not in answer] == []
    assert all(f"{SECRET}?" not in answer for answer in leaks)


async def test_the_access_log_has_worker_and_usage(worker: FakeWorker) -> None:
    """A line has the ids of request, trace and image, route, status, times, model, worker, tokens and cache hits.

    It has nothing else.
    """
    headers = {"X-Request-Id": "asked-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    environment = {"SARLENS_TRACING__ENDPOINT": "http://127.0.0.1:9", "SARLENS_TRACING__SAMPLE_RATIO": "0"}
    async with gateway_process(worker.url, **environment) as gate:
        await gate.send("POST", CHAT, json=chat(DATA_URL), headers=headers)
        questions = {"image": DATA_URL, "model": MODEL, "questions": ["Ships?", "Tanks?"]}
        await gate.send("POST", "/v1/sar/vqa", json=questions)
        await gate.send("POST", CHAT, json=chat("ftp://nowhere"))
        async with grpc.aio.insecure_channel(gate.grpc) as channel:
            await sar_pb2_grpc.SarStub(channel).Caption(pb.CaptionRequest(image=pb.Image(url=DATA_URL), model=MODEL))
        lines = [line for line in await gate.end() if line["event"] == "request" and line["route"] != "/health"]
    for line in lines:
        assert 0 < line.pop("duration_s") < 20
        datetime.fromisoformat(line.pop("timestamp"))
        assert len(line.pop("span_id", "0" * 16)) == 16
    assert lines[0].pop("trace_id") == TRACE
    assert len({lines[0].pop("request_id"), *(line.pop("request_id") for line in lines[1:])}) == 4
    assert {line.pop("image_ms", 0.0) >= 0 for line in lines} == {True}
    assert lines[1].pop("bytes_saved", 1) > 0
    lines[3].pop("bytes_saved", 0)
    images = {line.pop("images") for line in lines if "images" in line}
    assert [len(image) for image in images] == [64]
    assert [line.pop("cache") for line in (lines[0], lines[1], lines[3])][:1] == ["miss"]
    assert [line.pop("attempts") for line in (lines[0], lines[3])] == [1, 1]
    assert lines[1].pop("attempts") >= 1
    common = {"event": "request", "level": "info"}
    answered = {**common, "model": MODEL, "worker": worker.url, "prompt_tokens": 70, "completion_tokens": 4}
    assert lines[0] == {**answered, "route": CHAT, "status": 200}
    assert lines[1] == {**answered, "route": "/v1/sar/vqa", "status": 200, "prompt_tokens": 140, "completion_tokens": 8}
    assert lines[2] == {**common, "model": MODEL, "route": CHAT, "status": 400, "code": "source_refused"}
    assert lines[3] == {**answered, "route": "/sarlens.v1.Sar/Caption", "status": "OK"}


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 1000), (None, 0), (0.1, 100)])
def test_failures_and_a_ratio_of_the_others_are_logged(ratio: float | None, expected: int) -> None:
    """All failed requests and about the ratio of the others are logged; without a ratio none is."""
    access = AccessLog(ratio)
    with structlog.testing.capture_logs() as logged:
        for number in range(1000):
            access.write(AccessRecord(), failed=False, status=200, number=number)
        assert abs(len(logged) - expected) <= (50 if ratio == 0.1 else 0)
        logged.clear()
        access.write(AccessRecord(), failed=True, status=500)
        assert len(logged) == (ratio is not None)


async def test_the_access_log_is_off_by_default(worker: FakeWorker) -> None:
    """Without a setting, an answered request leaves no line."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as url:
        with structlog.testing.capture_logs() as logged:
            async with aiohttp.ClientSession() as http, http.post(url + CHAT, json=chat()) as response:
                assert response.status == 200
        assert logged == []
