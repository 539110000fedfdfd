"""One HTTP connection: uvicorn's protocol with limits of size and time."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING, Any

import httptools
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sarlens.api.app.middlewares import RequestIdMiddleware
from sarlens.errors import BadRequest, HeadTooLarge, SarlensError
from sarlens.observability.metrics import Closure
from sarlens.server.connection_timer import ConnectionTimer, Phase
from sarlens.server.request_cycle import ErrorResponse, RequestCycle
from sarlens.server.request_head import Target, head_size, without_upgrade
from sarlens.server.response_transport import ResponseTransport

if TYPE_CHECKING:
    from sarlens.server.connections import Connections

_PIPELINE_PAUSE, _MAX_PIPELINED = 16, 1024
"""Requests that wait on a connection behind the one in progress, until it reads no more, and at most.

Before that it reads on, so that it sees the end of the connection.
"""
_CHUNK_BYTES = 16
"""Bytes of framing that a chunk of a body may have, on average."""
_MAX_CHUNK_BYTES = 8 * 2**20
_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})


class Reading(Enum):
    """The part of a message that the connection reads."""

    NOTHING = auto()
    """No message has begun."""
    HEAD = auto()
    BODY = auto()


_NOTHING, _HEAD, _BODY = Reading


class GatewayProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection of a client.

    ``Connections`` checks all limits of time periodically, so that a request needs no timer.
    """

    cycle: RequestCycle  # type: ignore[assignment]
    pipeline: deque[tuple[RequestCycle, ASGIApp]]  # type: ignore[assignment]
    responses: ResponseTransport

    def __init__(self, connections: Connections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._all = connections
        self._proxied_app: Any = self.app
        self._direct_app: Any = self.app.app if isinstance(self.app, ProxyHeadersMiddleware) else self.app
        """The application without uvicorn's middleware, which only requests with a header of a proxy need."""
        self._max_head_bytes = connections.settings.max_head_bytes
        self.reading = _NOTHING
        self.bytes_received = 0
        self._chunk_start = self._head_start = self._body_start = 0
        self._body_bytes = self._body_chunks = 0
        self._upgrading = self._discarding = self._lingering = False
        self._running: RequestCycle | None = None
        self.timer = ConnectionTimer(self, connections.settings)

    # Transport callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve, unless the process has too many connections."""
        super().connection_made(transport)
        self.responses = ResponseTransport(transport, self._finish)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End all requests of the connection."""
        for cycle in chain((self._running,) if self._running else (), (cycle for cycle, _ in self.pipeline)):
            cycle.disconnect()
        self.connections.discard(self)
        self.flow.resume_writing()
        self._all.remove(self)
        self._release()

    def _release(self) -> None:
        """Drop what refers to the connection, so that no garbage collection is needed to free it."""
        self.pipeline.clear()
        self._running = None
        del self.parser, self.cycle, self.scope, self.responses, self.timer

    def data_received(self, data: bytes) -> None:
        """Parse bytes of the client, and check the size of an incomplete request."""
        self._chunk_start = self.bytes_received
        self.bytes_received += len(data)
        if self._discarding:
            return
        try:
            self._parse(data)
            if self.reading is not _NOTHING:
                self._check_size()
        except SarlensError as error:
            self.reject(error)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, SarlensError):
                raise error.__context__ from None
            raise BadRequest("The request isn't valid HTTP/1.1.") from None

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse the head again without its upgrade, since the parser reads no body after one (RFC 9110, 7.8)."""
        self._upgrading = False
        parser = self.parser
        self._parse(without_upgrade(parser.get_method(), self.url, parser.get_http_version(), self.headers) + rest)

    def _check_size(self) -> None:
        """Limit what the parser keeps of an incomplete head, and the framing of a chunked body.

        Raises:
            HeadTooLarge: the head is too large.
            BadRequest: the chunks of the body are much smaller than their framing.
        """
        if self.reading is _HEAD:
            if self.bytes_received - self._head_start > self._max_head_bytes:
                raise self._too_large()
            return
        framing_bytes = self.bytes_received - self._body_start - self._body_bytes
        allowed_bytes = self._max_head_bytes + min(self._body_chunks * _CHUNK_BYTES, _MAX_CHUNK_BYTES)
        if framing_bytes > allowed_bytes:
            raise BadRequest("The chunks of the body have too much framing: send larger chunks.")

    def _too_large(self) -> HeadTooLarge:
        self._all.count("head_size")
        return HeadTooLarge(f"The head of the request exceeds the limit of {self._max_head_bytes} bytes.")

    # Parser callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.reading, self._head_start = _HEAD, self._chunk_start

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are ignored."""
        if self.reading is _HEAD:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one in progress.

        Raises:
            SarlensError: the head is invalid.
        """
        parser, scope = self.parser, self.scope
        version, method = parser.get_http_version(), parser.get_method()
        if parser.should_upgrade() and method != b"CONNECT":
            self._upgrading = True
            return
        scope["method"], scope["http_version"] = method.decode("ascii"), version
        self._check_head_size()
        scope["path"], scope["raw_path"], scope["query_string"], authority = Target.parse(method, self.url)
        if authority is not None:
            self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]
        hosts, app = [], self._direct_app
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name in _FORWARDED:
                app = self._proxied_app
        self._all.hosts.check(hosts, version, self.server[0] if self.server else None)
        self._start(app, keep_alive=version != "1.0" and parser.should_keep_alive())

    def _check_head_size(self) -> None:
        # A head that ends in the piece of data in which it began is measured by its parts.
        received = self.bytes_received - self._head_start
        oversized = not received or received > self._max_head_bytes
        if oversized and head_size(self.url, self.headers) > self._max_head_bytes:
            raise self._too_large()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body until the application reads it."""
        self._body_bytes += len(body)
        self._body_chunks += 1
        cycle = self.cycle
        if self._upgrading or cycle.response_complete:
            return
        cycle.feed(body)
        if cycle.bytes_buffered > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """End the body."""
        self.reading, self._chunk_start = _NOTHING, self.bytes_received
        if not self._upgrading and not self.cycle.response_complete:
            self.cycle.end_body()

    # Requests

    @property
    def phase(self) -> Phase:
        """The event that the connection waits for."""
        if self._lingering:
            return Phase.CLOSE
        if self._discarding:
            return Phase.RESPONSE
        if self.reading is _HEAD:
            return Phase.RESPONSE if self.flow.read_paused else Phase.HEAD
        if self.reading is _BODY and self.cycle is self._running and self.scope["method"] == "POST":
            return Phase.BODY
        if self._running is not None:
            return Phase.RESPONSE
        return Phase.NEW if self.cycle is None else Phase.IDLE

    def _start(self, app: ASGIApp, *, keep_alive: bool) -> None:
        """Run the request whose head was read, or queue it behind the one in progress."""
        self.reading, self._body_start = _BODY, self.bytes_received
        self._body_bytes = self._body_chunks = 0
        self._all.waiting.pop(self, None)
        self.cycle = cycle = RequestCycle(
            self.scope,  # type: ignore[arg-type]
            self.responses,
            self.flow,
            self.server_state.default_headers,
            self.on_response_complete,
            keep_alive=keep_alive,
            expects_continue=self.expect_100_continue and self.scope["http_version"] != "1.0",
        )
        if self._running is None:
            self._run(cycle, app)
            return
        self.pipeline.appendleft((cycle, app))
        if len(self.pipeline) > _MAX_PIPELINED:
            self.end("pipeline", abort=True)
        elif len(self.pipeline) > _PIPELINE_PAUSE:
            self.flow.pause_reading()

    def _run(self, cycle: RequestCycle, app: ASGIApp) -> None:
        self._running = cycle
        cycle.task = task = self.loop.create_task(cycle.run(app, self.tasks))
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Run the next request; if there is none, wait for one."""
        self._running = None
        self.server_state.total_requests += 1
        if self._lingering or self.transport.is_closing():
            return
        if self.pipeline:
            self._run(*self.pipeline.pop())
        else:
            self.flow.resume_reading()
            self._all.waiting[self] = None

    def reject(self, error: SarlensError) -> None:
        """Answer the request that is being read with an error, after those before it, and read nothing more."""
        self._discarding = True
        if self.reading is _BODY:
            self.cycle.fail(error)
            return
        if self.reading is _NOTHING:
            self.on_message_begin()
        self.scope = {"method": "GET", "path": "/v1", **self.scope}
        self._start(RequestIdMiddleware(ErrorResponse(error, self._all.metrics)), keep_alive=False)

    def time_out(self, reason: Closure, error: SarlensError) -> None:
        """Reject a request that isn't complete in time."""
        self._all.count(reason)
        self.reject(error)

    def end(self, reason: Closure, *, abort: bool = False) -> None:
        """Close the connection, at once or after what was written is sent."""
        self._all.count(reason)
        if abort:
            self.transport.abort()
        else:
            self.transport.close()

    def _finish(self) -> None:
        """Close after the last response. If the client still sends, it first has time to read that response.

        The operating system resets a connection that is closed with unread bytes, and the client loses the response.
        """
        if self.reading is _NOTHING and not self._discarding:
            self.transport.close()
        else:
            self._discarding = self._lingering = True
            self._all.waiting[self] = None
            self.flow.resume_reading()
            self.transport.write_eof()
