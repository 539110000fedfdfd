"""What is logged of requests, and what never is: by a gateway of its own, whose every line is read."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
import structlog.testing

from sarlens.log import AccessLog, Record
from sarlens.seaweed import free_port
from sarlens.settings import Settings, WorkerSettings
from sarlens.v1 import sar_pb2 as pb
from sarlens.v1 import sar_pb2_grpc
from stack.fake_worker import MODEL, FakeWorker
from stack.gateway import gateway, until_it_answers
from stack.pictures import DATA_URL

CHAT = "/v1/chat/completions"
SECRET = "XyZZy"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Spoken:
    """A gateway, and all that it has said on the wire."""

    url: str
    grpc: str
    process: asyncio.subprocess.Process
    answers: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, **options: Any) -> int:
        """Ask, and note the answer with its headers."""
        async with aiohttp.ClientSession() as http, http.request(method, self.url + path, **options) as response:
            self.answers.append(f"{dict(response.headers)} {await response.text()}")
            return response.status

    async def end(self) -> list[dict[str, Any]]:
        """End it; the lines of its log, each of which is JSON."""
        self.process.terminate()
        _, logged = await asyncio.wait_for(self.process.communicate(), 20)
        return [json.loads(line) for line in logged.decode().splitlines()]


@asynccontextmanager
async def spoken(worker: str, **environment: str) -> AsyncIterator[Spoken]:
    """A gateway as a process, ready."""
    port, grpc_port = free_port(), free_port()
    command = ["-m", "sarlens", "serve", "--worker", worker, "--port", str(port)]
    environment |= {"SARLENS_GRPC__PORT": str(grpc_port), "SARLENS_ACCESS_LOG": "1", "PYTHONPATH": ":".join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stderr=asyncio.subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await until_it_answers(f"{url}/readyz")
        yield Spoken(url, f"127.0.0.1:{grpc_port}", process)
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
    """Secrets in what a caller sends — key, presigned URL, login in a URL, prompt, image, headers, query — are in no
    line of the log, in no metric and in no error; nor are the worker's key and the words of a worker that fails."""
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
    async with spoken(worker.url, **environment) as gate:
        for wrong in (f"Bearer {SECRET}", SECRET, f"Basic {SECRET}"):
            assert await gate.ask("POST", CHAT, json=chat(), headers={"Authorization": wrong}) == 401
        assert (
            await gate.ask("POST", CHAT, json=chat(text=SECRET, user=SECRET), headers={**good, "Cookie": SECRET}) == 200
        )
        for image in images:
            assert await gate.ask("POST", CHAT, json=chat(image, SECRET), headers=good) >= 400
            assert await gate.ask("GET", "/v1/sar/picture", params={"url": image}, headers=good) >= 400
            await gate.ask("POST", "/v1/sar/captions", json={"image": image, "model": MODEL}, headers=good)
        await gate.ask("POST", CHAT, data=f'{{"messages": "{SECRET}', headers=good)
        await gate.ask("GET", f"/nothing/{SECRET}?{SECRET}", headers=good)
        await gate.ask("POST", CHAT, json=chat(), headers={**good, "X-Request-Id": f"({SECRET})"})
        await gate.ask("POST", CHAT, json=chat(), headers={**good, "traceparent": SECRET, "X-Request-Deadline": SECRET})
        async with grpc.aio.insecure_channel(gate.grpc) as channel:
            for key in (f"Bearer {SECRET}", good["Authorization"]):
                metadata = (("authorization", key), ("x-other", SECRET))
                request = pb.CaptionRequest(image=pb.Image(url=images[2]), model=MODEL)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await sar_pb2_grpc.SarStub(channel).Caption(request, metadata=metadata)
                gate.answers.append(f"{raised.value.details()} {raised.value.trailing_metadata()}")
        worker.fails_with = (500, f"<html>{SECRET}")
        await gate.ask("POST", CHAT, json=chat(text=SECRET), headers=good)
        worker.fails_with, worker.resets = None, True
        await gate.ask("POST", CHAT, json=chat(text=SECRET), headers=good)
        await gate.ask("GET", "/metrics")
        lines = await gate.end()
    assert len([line for line in lines if line["event"] == "request"]) > 30
    assert not [line for line in lines if SECRET in json.dumps(line)]
    told = [answer for answer in gate.answers if SECRET in answer]
    # The path of a page that is not there is the caller's own, and is told to nobody else.
    assert [answer for answer in told if f"nothing/{SECRET}" not in answer] == []
    assert all(f"{SECRET}?" not in answer for answer in told)


async def test_a_line_says_who_answered_and_what_it_cost(worker: FakeWorker) -> None:
    """A line of the access log holds the ids of request and trace, route, status, duration, model, worker, tokens."""
    headers = {"X-Request-Id": "asked-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    environment = {"SARLENS_TRACING__ENDPOINT": "http://127.0.0.1:9"}
    async with spoken(worker.url, **environment) as gate:
        await gate.ask("POST", CHAT, json=chat(DATA_URL), headers=headers)
        questions = {"image": DATA_URL, "model": MODEL, "questions": ["Ships?", "Tanks?"]}
        await gate.ask("POST", "/v1/sar/vqa", json=questions)
        await gate.ask("POST", CHAT, json=chat("ftp://nowhere"))
        async with grpc.aio.insecure_channel(gate.grpc) as channel:
            await sar_pb2_grpc.SarStub(channel).Caption(pb.CaptionRequest(image=pb.Image(url=DATA_URL), model=MODEL))
        lines = [line for line in await gate.end() if line["event"] == "request" and line["route"] != "/readyz"]
    answered = {"model": MODEL, "worker": worker.url, "prompt_tokens": 70, "completion_tokens": 4, "level": "info"}
    one = {"request_id": "asked-1", "trace_id": TRACE, "route": CHAT, "status": 200, **answered}
    assert one.items() <= lines[0].items()
    assert 0 < lines[0]["duration_s"] < 20
    assert {"route": "/v1/sar/vqa", **answered, "prompt_tokens": 140, "completion_tokens": 8}.items() <= lines[
        1
    ].items()
    assert {"route": CHAT, "status": 400, "code": "source_refused"}.items() <= lines[2].items()
    assert {"route": "/sarlens.v1.Sar/Caption", "status": "OK", **answered}.items() <= lines[3].items()


@pytest.mark.parametrize(("share", "well"), [(0.0, 0), (1.0, 1000), (None, 0), (0.1, 100)])
def test_a_share_is_logged_and_every_failure(share: float | None, well: int) -> None:
    """Of those that went well about the share is logged, of those that failed all, and without a share nothing."""
    access = AccessLog(share)
    with structlog.testing.capture_logs() as logged:
        for number in range(1000):
            access.write(Record(), failed=False, status=200, number=number)
        assert abs(len(logged) - well) <= (50 if share == 0.1 else 0)
        logged.clear()
        access.write(Record(), failed=True, status=500)
        assert len(logged) == (share is not None)


async def test_the_access_log_is_off_by_default(worker: FakeWorker) -> None:
    """Unless asked for, a request that goes well leaves no line."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as url:
        with structlog.testing.capture_logs() as logged:
            async with aiohttp.ClientSession() as http, http.post(url + CHAT, json=chat()) as response:
                assert response.status == 200
        assert logged == []
