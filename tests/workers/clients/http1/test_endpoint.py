"""Addresses of workers: names, several addresses, IPv6 and TLS, and the heads of requests."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import WorkerUnreachable
from sarlens.workers.clients.http1.endpoint import Endpoint, format_fields
from sarlens.workers.clients.http1.pool import http_connections
from sarlens.workers.discovery.base_url import normalize_base_url
from support.tls import tls
from support.workers.raw_worker import answer_once, raw_worker

Run = Callable[[Coroutine[Any, Any, None]], None]


async def ask(url: str, times: int = 1) -> None:
    """Send requests to a worker, each over a connection of its own."""
    async with http_connections(connect_timeout_s=2, keepalive_timeout_s=4) as connections:
        pool = connections.pool(url, {})
        for _ in range(times):
            head = pool.endpoint.head("GET", "/health") + b"\r\n"
            response = await pool.request(head, b"", timeout_s=20, max_bytes=100, reuse=False)
            assert response.take() == b"{}"


@pytest.mark.parametrize(
    ("url", "path", "start"),
    [
        ("http://gpu-1:8000", "/v1/models", "GET /v1/models HTTP/1.1\r\nHost: gpu-1:8000\r\n"),
        ("http://gpu-1", "/v1/models", "GET /v1/models HTTP/1.1\r\nHost: gpu-1\r\n"),
        ("https://gpu-1:443/base", "/a?b=c", "GET /base/a?b=c HTTP/1.1\r\nHost: gpu-1\r\n"),
        ("https://gpu-1:8443", "//x y", "GET //x%20y HTTP/1.1\r\nHost: gpu-1:8443\r\n"),
        ("http://[fe80::1]:8000", "/é", "GET /%C3%A9 HTTP/1.1\r\nHost: [fe80::1]:8000\r\n"),
        ("http://bücher.example", "/", "GET / HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n"),
    ],
)
async def test_a_head_has_the_target_and_the_host(url: str, path: str, start: str) -> None:
    """Targets are encoded and have the path of the base URL; the host has its port unless it is the scheme's."""
    head = Endpoint(url, {"Authorization": "Bearer key"}).head("GET", path)
    assert head == f"{start}Accept: */*\r\nAuthorization: Bearer key\r\n".encode()


@given(st.text(max_size=30))
def test_each_base_url_has_a_head(host: str) -> None:
    """Each base URL that discovery accepts gives a head of three lines, so that no URL ends a task or adds a header."""
    try:
        url = normalize_base_url(f"http://{host}")
    except ValueError:
        return
    head = Endpoint(url, {}).head("GET", "/v1/models")
    assert re.fullmatch(rb"GET /\S* HTTP/1\.1\r\nHost: [^\r\n]+\r\nAccept: \*/\*\r\n", head)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: b", "a\n", "a\rb", "a\0b", "\x7f"])
async def test_a_field_can_t_end_early(value: str) -> None:
    """A value with control characters is an error, whether it is in a name or a value."""
    for field in (("X-A", value), (value, "a")):
        with pytest.raises(ValueError, match="control characters"):
            format_fields([field])
    assert format_fields([("X-A", "a\tb é")]) == "X-A: a\tb é\r\n".encode()


def _address(host: str, port: int) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


def test_connections_go_to_the_addresses_of_a_name_in_turn(run: Run) -> None:
    """Of a name with three addresses, one of which refuses, each request reaches a worker; one lookup serves all."""

    async def scenario() -> None:
        lookups: list[object] = []

        resolve = type(asyncio.get_running_loop()).getaddrinfo

        async def getaddrinfo(loop: Any, host: str, port: int, **more: Any) -> Any:
            if host != "worker.example":
                return await resolve(loop, host, port, **more)
            lookups.append(host)
            await asyncio.sleep(0.01)
            return [_address(address, port) for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4")]

        hosts: list[str] = []

        async def answer(call: Any) -> None:
            hosts.append(call.writer.get_extra_info("sockname")[0])
            await answer_once(call)

        async with raw_worker(answer) as worker:
            one = await asyncio.start_server(worker.serve, "127.0.0.2", worker.port)
            two = await asyncio.start_server(worker.serve, "127.0.0.4", worker.port)
            loop = asyncio.get_running_loop()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(loop), "getaddrinfo", getaddrinfo)
                await ask(f"http://worker.example:{worker.port}", 6)
            one.close()
            two.close()
        assert (len(hosts), set(hosts), lookups) == (6, {"127.0.0.2", "127.0.0.4"}, ["worker.example"])

    run(scenario())


def test_a_worker_at_an_ipv6_address_answers(run: Run) -> None:
    """The host of a URL in brackets is connected to without them."""

    async def scenario() -> None:
        async with raw_worker(answer_once, host="::1") as worker:
            await ask(f"http://[::1]:{worker.port}")
            assert f"Host: [::1]:{worker.port}\r\n".encode() in worker.calls[0].head

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    run(scenario())


def test_connections_send_small_packets_at_once(run: Run) -> None:
    """The transport has ``TCP_NODELAY``, so that the end of a request doesn't wait for an acknowledgment."""

    async def scenario() -> None:
        async with (
            raw_worker(answer_once) as worker,
            http_connections(connect_timeout_s=2, keepalive_timeout_s=4) as connections,
        ):
            connection = await connections.pool(worker.url, {})._connect(2)
            raw = connection._transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(scenario())


def test_a_worker_proves_its_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate must be signed by an authority of ``SSL_CERT_FILE``, and be that of the host in the URL."""
    certificates = tls(tmp_path, "localhost")
    names: list[str | None] = []
    certificates.server.sni_callback = lambda _, name, __: names.append(name)
    certificates.server.set_alpn_protocols(["h2", "http/1.1"])

    async def scenario() -> None:
        protocols: list[str | None] = []

        async def answer(call: Any) -> None:
            protocols.append(call.writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await answer_once(call)

        async with raw_worker(answer, tls=certificates.server) as worker:
            with pytest.raises(WorkerUnreachable) as unknown:
                await ask(f"https://localhost:{worker.port}")
            assert isinstance(unknown.value.__cause__, ssl.SSLCertVerificationError)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(certificates.authority))
                await ask(f"https://localhost:{worker.port}")
                with pytest.raises(WorkerUnreachable) as wrong:
                    await ask(f"https://127.0.0.1:{worker.port}")
            assert "IP address mismatch" in str(wrong.value.__cause__)
        assert protocols == ["http/1.1"]
        assert names == ["localhost", "localhost", None]

    run(scenario())
