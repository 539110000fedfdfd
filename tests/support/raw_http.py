"""An HTTP server with an application of one function, and clients on raw sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from types import SimpleNamespace
from typing import Any

from starlette.types import Receive, Scope, Send

from sarlens.api.common.disconnect import ClientDisconnected
from sarlens.api.common.drain import DrainController
from sarlens.api.common.error_responses import send_error
from sarlens.errors import SarlensError
from sarlens.observability.metrics import Metrics
from sarlens.server.server import GatewayServer, bind_socket
from sarlens.settings import ServerSettings

HOST = b"Host: gateway\r\n"


@dataclass
class RecordingApp:
    """An ASGI application that reads each body and answers with its size; it records every request."""

    drain_controller: DrainController = field(default_factory=DrainController)
    metrics: Metrics = field(default_factory=Metrics)
    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    disconnects: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        ``/stream/N`` sends N pieces of 64 kB, ``/whole/N`` N bytes, and ``/hang`` waits for the end of the connection.
        """
        with suppress(ClientDisconnected):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        try:
            body = await self._body(receive)
        except SarlensError as error:
            await send_error(send, error, scope["path"], "")
            return
        self.bodies.append(body)
        if scope["path"] == "/hang":
            await self._until_disconnect(receive)
        elif scope["path"].startswith("/stream/"):
            await self._stream(int(scope["path"].removeprefix("/stream/")), send)
        else:
            answer = f"{scope['path']} {len(body)}".encode()
            if scope["path"].startswith("/whole/"):
                answer = b"x" * int(scope["path"].removeprefix("/whole/"))
            headers = [(b"content-length", str(len(answer)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

    async def _body(self, receive: Receive) -> bytes:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def _until_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnects += 1

    async def _stream(self, pieces: int, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(pieces):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except ClientDisconnected:
            self.disconnects += 1
            raise
        await send({"type": "http.response.body", "body": b""})

    def clear(self) -> None:
        """Clear the recorded requests and closed connections."""
        self.scopes.clear()
        self.bodies.clear()
        self.disconnects = 0
        self.metrics.closed_connections.clear()

    def closed(self, reason: str) -> float:
        """Number of connections that the server closed for a reason."""
        labels = {"reason": reason}
        return self.metrics.registry.get_sample_value("sarlens_http_connections_closed_total", labels) or 0.0


@contextmanager
def http_server(
    app: Any, settings: ServerSettings, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> Iterator[int]:
    """Serve an application in a thread with an event loop of a kind; yield the port."""
    listener = bind_socket("127.0.0.1", 0)
    server = GatewayServer(app, settings, drain_timeout_s=1)

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(server._serve(sockets=[listener]))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class RawClient:
    """A connection on a raw socket, which reads one response at a time."""

    def __init__(self, port: int, *, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send pieces, each in a packet of its own."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self.socket.sendall(piece)

    def response(self, *, head: bool = False) -> SimpleNamespace:
        """Read a response: its version, status, headers in lower case and body."""
        version, status, _ = self._reader.readline().decode().split(" ", 2)
        lines = b""
        while (line := self._reader.readline()) not in {b"\r\n", b""}:
            lines += line
        headers = {name.lower(): value for name, value in BytesParser().parsebytes(lines).items()}
        return SimpleNamespace(
            version=version, status=int(status), headers=headers, body=b"" if head else self._body(headers)
        )

    def _body(self, headers: dict[str, Any]) -> bytes:
        if "content-length" in headers:
            return self._reader.read(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return self._reader.read()
        body = b""
        while size := int(self._reader.readline(), 16):
            body += self._reader.read(size + 2)[:-2]
        self._reader.readline()
        return body

    def at_end(self) -> bool:
        """Wait until the server closes the connection; whether it did so without sending more."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True
