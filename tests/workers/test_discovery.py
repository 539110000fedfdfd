"""Finding workers."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sarlens.settings import Settings, WorkerSettings
from sarlens.workers.discovery import Dns, EndpointSlices, File, NotFindable, finder
from stack.fake_worker import fake_worker
from stack.gateway import gateway
from stack.tls import tls


@pytest.mark.parametrize(
    "place",
    [
        "",
        "gpu-1:8000",
        "ftp://gpu-1",
        "http://user:secret@gpu-1:8000",
        "http://",
        "http://gpu-1:99999",
        "http://gpu-1?x=1",
        "file://host/x",
        "dns://name",
        "dns://:8000",
        "dns://name:8000/path",
        "kubernetes://default",
        "kubernetes://default/vllm",
        "kubernetes://../vllm:8000",
        "kubernetes://default/a/b:8000",
    ],
)
def test_what_names_no_workers_is_refused(place: str) -> None:
    """A place that cannot be meant, or holds a password, is refused at the start; the password is not told."""
    with pytest.raises(ValueError, match=r".+") as told:
        finder(place)
    assert "secret" not in str(told.value)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "file://", "dns://", "kubernetes://"]))
def test_no_place_breaks_the_parser(tail: str, head: str) -> None:
    """Whatever is written, it is a place or a ValueError."""
    with suppress(ValueError):
        finder(head + tail)


async def test_a_file_is_read_as_it_is_now(tmp_path: Path) -> None:
    """A file's workers are those that it holds when asked; one that is wrong says where."""
    path = tmp_path / "workers.json"
    found = File(path)
    with pytest.raises(NotFindable, match="cannot be read"):
        await found.find()
    path.write_text('[{"url": "http://a:8000/v1"}, {"url": "http://b:8000", "share": 0.1}]')
    assert await found.find() == {"http://a:8000": 1.0, "http://b:8000": 0.1}
    for wrong in (
        "",
        "{}",
        '[{"url": 1}]',
        '[{"url": "x"}]',
        '[{"url": "http://a", "share": 0}]',
        '[{"uri": "http://a"}]',
    ):
        path.write_text(wrong)
        with pytest.raises(NotFindable, match=r"workers\.json"):
            await found.find()


async def test_every_address_of_a_name_is_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with three addresses of both families is three workers; one that is unknown says so."""
    loop = asyncio.get_running_loop()

    async def addresses(name: str, port: int, **_: Any) -> list[Any]:
        if name != "vllm":
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (address, port)) for address in ("10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1")]

    monkeypatch.setattr(type(loop), "getaddrinfo", lambda _, *given, **more: addresses(*given, **more))
    assert set(await Dns("vllm", 8000).find()) == {
        "http://10.0.0.1:8000",
        "http://10.0.0.2:8000",
        "http://[fd00::1]:8000",
    }
    with pytest.raises(NotFindable, match="Name or service not known"):
        await Dns("nobody", 8000).find()


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
async def kubernetes(folder: Path, answer: Any) -> AsyncIterator[tuple[EndpointSlices, list[web.Request]]]:
    """An API server that answers with documents in the published form, over TLS with a CA of its own."""
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
        yield EndpointSlices("default", "vllm", 8000, api=api, account=folder), asked
    finally:
        await runner.cleanup()


async def test_an_authority_without_key_identifiers_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server like those of EKS is trusted by its authority's file, also where Python is strict by default."""
    made = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = made(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    async with kubernetes(tmp_path, SLICES) as (found, _):
        monkeypatch.setattr(ssl, "create_default_context", strict)
        assert len(await found.find()) == 2


async def test_ready_endpoints_of_a_service_are_workers(tmp_path: Path) -> None:
    """Endpoints that are ready, or do not say, are workers; those that end are not. A new token is used at once."""
    async with kubernetes(tmp_path, SLICES) as (found, asked):
        for token in ("first", "second"):
            (tmp_path / "token").write_text(token)
            assert await found.find() == {"http://10.1.0.1:8000": 1.0, "http://10.1.0.3:8000": 1.0}
        assert asked[0].query["labelSelector"] == "kubernetes.io/service-name=vllm"


@pytest.mark.parametrize("answer", [[], {}, {"items": 1}, {"items": [1]}, {"items": [{"endpoints": [{}]}]}])
async def test_a_strange_api_is_said_and_survived(tmp_path: Path, answer: Any) -> None:
    """What is no list of slices, and an API that is not there, are told in a sentence."""
    async with kubernetes(tmp_path, answer) as (found, _):
        with pytest.raises(NotFindable, match="Kubernetes API"):
            await found.find()
    with pytest.raises(NotFindable, match="does not answer"):
        await found.find()


async def test_workers_come_and_go_without_a_restart(tmp_path: Path) -> None:
    """A worker that is added to the file answers soon, one taken out is asked no more; a look that fails counts."""
    path = tmp_path / "workers.json"
    async with fake_worker(model="a") as one, fake_worker(model="b") as two, aiohttp.ClientSession() as http:
        path.write_text(json.dumps([{"url": one.url}]))
        async with gateway(Settings(worker=WorkerSettings(urls=(f"file://{path}",), probe_s=0.05))) as url:

            async def models() -> set[str]:
                async with http.get(f"{url}/v1/models") as response:
                    return {card["id"] for card in (await response.json())["data"]}

            assert await models() == {"a"}
            path.write_text(json.dumps([{"url": two.url}]))
            async with asyncio.timeout(30):
                while await models() != {"b"}:
                    await asyncio.sleep(0.02)
            path.write_text("[")
            await asyncio.sleep(0.2)
            assert await models() == {"b"}
            async with http.get(f"{url}/metrics") as response:
                page = await response.text()
            assert (one.url in page, two.url in page) == (False, True)
            assert float(page.split('sarlens_discovery_failures_total{place="file"} ')[1].split()[0]) >= 1
