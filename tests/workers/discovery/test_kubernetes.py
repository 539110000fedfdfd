"""Service discovery from a Kubernetes service."""

from __future__ import annotations

import asyncio
import json
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


def slice_of(name: str, *endpoints: dict[str, Any], family: str = "IPv4") -> dict[str, Any]:
    """An endpoint slice."""
    return {"metadata": {"name": name, "resourceVersion": "7"}, "addressType": family, "endpoints": list(endpoints)}


def pod(name: str, address: str, **conditions: bool) -> dict[str, Any]:
    """The endpoint of a pod."""
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": name}}


SLICES: dict[str, Any] = {
    "kind": "EndpointSliceList",
    "apiVersion": "discovery.k8s.io/v1",
    "metadata": {"resourceVersion": "7"},
    "items": [
        slice_of(
            "vllm-1",
            pod("vllm-0", "10.1.0.1", ready=True, serving=True, terminating=False),
            pod("vllm-1", "10.1.0.2", ready=False, serving=True, terminating=True),
            {"addresses": ["10.1.0.3"], "conditions": {}},
        ),
        {"addressType": "IPv4", "endpoints": None, "ports": None},
    ],
}


class Api:
    """An API server that lists endpoint slices, and sends events to the watches."""

    def __init__(self, folder: Path, listed: Any) -> None:
        self.folder = folder
        self.listed = listed
        self.lists: list[web.Request] = []
        self.watches: list[web.Request] = []
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        """Events for the watch that is open; None ends it."""
        self.watch_status = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a list or a watch."""
        if request.headers["Authorization"] != f"Bearer {(self.folder / 'token').read_text()}":
            return web.json_response({"kind": "Status"}, status=401)
        if "watch" not in request.query:
            self.lists.append(request)
            return web.json_response(self.listed)
        self.watches.append(request)
        response = web.StreamResponse(status=self.watch_status)
        await response.prepare(request)
        while self.watch_status == 200 and (event := await self.events.get()) is not None:
            line = json.dumps(event).encode() + b"\n"
            await response.write(line[:20])
            await response.write(line[20:])
        return response


@asynccontextmanager
async def kubernetes(folder: Path, listed: Any) -> AsyncIterator[tuple[KubernetesDiscovery, Api]]:
    """Start an API server over TLS, with its own certificate authority, and a discovery that waits 0.1 s for events."""
    trust = tls(folder, "localhost", identifiers=False)
    server = Api(folder, listed)
    (folder / "token").write_text("first")
    (folder / "ca.crt").write_bytes(trust.authority.read_bytes())
    app = web.Application()
    app.router.add_get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust.server)
        await site.start()
        api = f"https://localhost:{runner.addresses[0][1]}"
        discovery = KubernetesDiscovery("default", "vllm", 8000, api=api, account=folder, wait_s=0.1)
        yield discovery, server
        await discovery.close()
    finally:
        await runner.cleanup()


async def until(discovery: KubernetesDiscovery, urls: set[str]) -> None:
    """Repeat attempts until discovery returns these endpoints."""
    async with asyncio.timeout(10):
        while set(await discovery.endpoints()) != urls:
            pass


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
    """Ready endpoints and those without conditions count, terminating ones don't; pods have their names."""
    async with kubernetes(tmp_path, SLICES) as (found, api):
        assert await found.endpoints() == {"http://10.1.0.1:8000": 1.0, "http://10.1.0.3:8000": 1.0}
        assert found.names == {"http://10.1.0.1:8000": "vllm-0", "http://10.1.0.3:8000": "10.1.0.3"}
        assert api.lists[0].query["labelSelector"] == "kubernetes.io/service-name=vllm"


async def test_a_pod_of_both_families_is_one_worker(tmp_path: Path) -> None:
    """A dual-stack service has a slice of each family; each pod is one endpoint, with its IPv4 address."""
    listed = {
        "metadata": {"resourceVersion": "7"},
        "items": [
            slice_of("six", pod("vllm-0", "fd00::1"), pod("vllm-1", "fd00::2"), family="IPv6"),
            slice_of("four", pod("vllm-0", "10.1.0.1")),
        ],
    }
    async with kubernetes(tmp_path, listed) as (found, _):
        assert set(await found.endpoints()) == {"http://10.1.0.1:8000", "http://[fd00::2]:8000"}
        assert found.names["http://[fd00::2]:8000"] == "vllm-1"


async def test_a_watch_replaces_lists(tmp_path: Path) -> None:
    """One list and one watch serve all attempts; an event changes the endpoints, and a bookmark doesn't."""
    async with kubernetes(tmp_path, SLICES) as (found, api):
        first = await found.endpoints()
        assert await found.endpoints() == first
        api.events.put_nowait({"type": "MODIFIED", "object": slice_of("vllm-1", pod("vllm-2", "10.1.0.9"))})
        await until(found, {"http://10.1.0.9:8000"})
        api.events.put_nowait({"type": "ADDED", "object": slice_of("vllm-2", pod("vllm-3", "10.1.0.8"))})
        await until(found, {"http://10.1.0.9:8000", "http://10.1.0.8:8000"})
        api.events.put_nowait({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}})
        api.events.put_nowait({"type": "DELETED", "object": slice_of("vllm-1")})
        await until(found, {"http://10.1.0.8:8000"})
        assert (len(api.lists), len(api.watches)) == (1, 1)
        query = api.watches[0].query
        assert (query["resourceVersion"], query["labelSelector"]) == ("7", "kubernetes.io/service-name=vllm")
        assert (query["allowWatchBookmarks"], query["timeoutSeconds"]) == ("true", "240")


async def test_the_next_watch_continues_with_a_new_token(tmp_path: Path) -> None:
    """A watch that ends is followed by one from its last version, with the token of then; no list is needed."""
    async with kubernetes(tmp_path, SLICES) as (found, api):
        await found.endpoints()
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
        for event in (bookmark, None):
            api.events.put_nowait(event)
        async with asyncio.timeout(10):
            while len(api.watches) < 2:
                await found.endpoints()
                (tmp_path / "token").write_text("second")
        assert [request.query["resourceVersion"] for request in api.watches] == ["7", "99"]
        assert len(api.lists) == 1


async def test_an_expired_watch_lists_again(tmp_path: Path) -> None:
    """An error event, as for a version that is too old, leads to a new list, and isn't a failure."""
    async with kubernetes(tmp_path, SLICES) as (found, api):
        await found.endpoints()
        api.listed = {"metadata": {"resourceVersion": "50"}, "items": [slice_of("a", pod("vllm-5", "10.1.0.5"))]}
        api.events.put_nowait({"type": "ERROR", "object": {"kind": "Status", "code": 410}})
        await until(found, {"http://10.1.0.5:8000"})
        assert len(api.lists) == 2


async def test_a_watch_that_the_role_forbids_is_a_failure(tmp_path: Path) -> None:
    """The error names the action and the status; the next attempt lists."""
    async with kubernetes(tmp_path, SLICES) as (found, api):
        await found.endpoints()
        api.watch_status = 403
        with pytest.raises(DiscoveryError, match="rejected the request to watch endpoint slices: 403"):
            await found.endpoints()
        assert len(await found.endpoints()) == 2
        assert len(api.lists) == 2


async def test_a_changed_authority_builds_another_ssl_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and watches share one SSL context, until the authority file changes."""
    contexts: list[ssl.SSLContext] = []
    build = ssl.create_default_context

    def counted(**options: Any) -> ssl.SSLContext:
        contexts.append(build(**options))
        return contexts[-1]

    async with kubernetes(tmp_path, SLICES) as (discovery, api):
        monkeypatch.setattr(ssl, "create_default_context", counted)
        for _ in range(3):
            await discovery.endpoints()
        assert len(contexts) == 1
        os.utime(tmp_path / "ca.crt", ns=(1, 1))
        api.events.put_nowait(None)
        async with asyncio.timeout(10):
            while len(api.watches) < 2:
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
