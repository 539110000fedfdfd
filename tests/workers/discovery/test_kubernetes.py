"""Service discovery from a Kubernetes service."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sarlens.workers.discovery.base import DiscoveryError
from sarlens.workers.discovery.kubernetes import KubernetesDiscovery
from support.tls import tls

SLICES: dict[str, Any] = {
    "kind": "EndpointSliceList",
    "apiVersion": "discovery.k8s.io/v1",
    "items": [
        {
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.1.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False}},
                {"addresses": ["10.1.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
                {"addresses": ["10.1.0.3"], "conditions": {}},
            ],
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
        },
        {"addressType": "IPv4", "endpoints": None, "ports": None},
    ],
}


@asynccontextmanager
async def kubernetes(folder: Path, answer: Any) -> AsyncIterator[tuple[KubernetesDiscovery, list[web.Request]]]:
    """Start an API server that returns endpoint slices over TLS, with its own certificate authority."""
    trust = tls(folder, "localhost", identifiers=False)
    asked: list[web.Request] = []

    async def listing(request: web.Request) -> web.Response:
        asked.append(request)
        if request.headers["Authorization"] != f"Bearer {(folder / 'token').read_text()}":
            return web.json_response({"kind": "Status"}, status=401)
        return web.json_response(answer)

    (folder / "token").write_text("first")
    (folder / "ca.crt").write_bytes(trust.authority.read_bytes())
    app = web.Application()
    app.router.add_get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", listing)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust.server)
        await site.start()
        api = f"https://localhost:{runner.addresses[0][1]}"
        discovery = KubernetesDiscovery("default", "vllm", 8000, api=api, account=folder)
        yield discovery, asked
        await discovery.close()
    finally:
        await runner.cleanup()


async def test_an_authority_without_key_identifiers_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server like those of EKS is trusted by its authority file, even if Python is strict by default."""
    made = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = made(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    async with kubernetes(tmp_path, SLICES) as (found, _):
        monkeypatch.setattr(ssl, "create_default_context", strict)
        assert len(await found.endpoints()) == 2


async def test_ready_endpoints_of_a_service_are_endpoints(tmp_path: Path) -> None:
    """Ready endpoints and those without conditions count, terminating ones don't; a new token is used at once."""
    async with kubernetes(tmp_path, SLICES) as (found, asked):
        for token in ("first", "second"):
            (tmp_path / "token").write_text(token)
            assert await found.endpoints() == {"http://10.1.0.1:8000": 1.0, "http://10.1.0.3:8000": 1.0}
        assert asked[0].query["labelSelector"] == "kubernetes.io/service-name=vllm"


async def test_one_session_and_ssl_context_serve_all_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts build one SSL context and use one connection; a changed authority file builds a second one."""
    contexts: list[ssl.SSLContext] = []
    build = ssl.create_default_context

    def counted(**options: Any) -> ssl.SSLContext:
        contexts.append(build(**options))
        return contexts[-1]

    async with kubernetes(tmp_path, SLICES) as (discovery, requests):
        monkeypatch.setattr(ssl, "create_default_context", counted)
        for _ in range(3):
            await discovery.endpoints()
        peers = {request.transport and request.transport.get_extra_info("peername") for request in requests}
        assert (len(contexts), len(requests), len(peers)) == (1, 3, 1)
        os.utime(tmp_path / "ca.crt", ns=(1, 1))
        await discovery.endpoints()
        assert len(contexts) == 2


@pytest.mark.parametrize("answer", [[], {}, {"items": 1}, {"items": [1]}, {"items": [{"endpoints": [{}]}]}])
async def test_an_invalid_api_response_is_a_discovery_error(tmp_path: Path, answer: Any) -> None:
    """An invalid list of slices and an unreachable API raise DiscoveryError with a sentence."""
    async with kubernetes(tmp_path, answer) as (found, _):
        with pytest.raises(DiscoveryError, match="Kubernetes API"):
            await found.endpoints()
    with pytest.raises(DiscoveryError, match="doesn't answer"):
        await found.endpoints()
