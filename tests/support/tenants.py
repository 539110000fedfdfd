"""Callers with API keys of one gateway, over REST and gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import tritonclient.grpc.aio as triton_grpc

from sarlens.admission.api_keys import generate_api_key
from sarlens.devstack.ports import free_port
from sarlens.settings import AdmissionSettings, GrpcSettings, KeysSettings, ManagementSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker

CHAT = "/v1/chat/completions"


class Tenants:
    """Callers of one gateway, each with its own API key."""

    def __init__(self, http: aiohttp.ClientSession, url: str, rpc: str, secrets: dict[str, str]) -> None:
        self.url, self.rpc, self.secrets = url, rpc, secrets
        self._http = http

    def headers(self, name: str) -> dict[str, str]:
        """The headers or gRPC metadata of a caller."""
        return {"authorization": f"Bearer {self.secrets[name]}"}

    async def post(self, name: str, body: Any, path: str = CHAT) -> tuple[int, Any, Any]:
        """POST as a caller; returns status, document and headers."""
        async with self._http.post(self.url + path, json=body, headers=self.headers(name)) as response:
            return response.status, await response.json(), response.headers

    async def get(self, name: str | None, path: str) -> tuple[int, str]:
        """GET as a caller, or without a key; returns status and text."""
        headers = self.headers(name) if name else {}
        async with self._http.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def tenants(
    folder: Path,
    workers: Sequence[FakeWorker],
    entries: dict[str, dict[str, Any]],
    *,
    management_port: int | None = None,
    label_metrics: bool = False,
    max_queued: int = 1024,
    **worker_settings: Any,
) -> AsyncIterator[Tenants]:
    """A gateway with these keys, over REST and gRPC."""
    issued = {name: generate_api_key() for name in entries}
    path = folder / f"keys-{free_port()}.json"
    path.write_text(json.dumps([{"name": n, "sha256": issued[n][1], **entry} for n, entry in entries.items()]))
    port = free_port()
    settings = Settings(
        management=ManagementSettings(port=management_port),
        worker=WorkerSettings(urls=tuple(worker.url for worker in workers), **worker_settings),
        keys=KeysSettings(file=path, label_metrics=label_metrics),
        grpc=GrpcSettings(port=port),
        admission=AdmissionSettings(max_queued=max_queued),
    )
    async with gateway(settings) as url, aiohttp.ClientSession() as http:
        secrets = {name: secret for name, (secret, _) in issued.items()}
        yield Tenants(http, url, f"127.0.0.1:{port}", secrets)


async def infer_by_grpc(gateway: Tenants, name: str, *parts: Any, model: str = MODEL) -> Any:
    """Send messages to the Open Inference Protocol over gRPC."""
    tensor = triton_grpc.InferInput("messages", [1], "BYTES")
    text = json.dumps([{"role": "user", "content": list(parts)}])
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_))
    async with triton_grpc.InferenceServerClient(gateway.rpc) as client:
        return await client.infer(model, [tensor], headers=gateway.headers(name))
