"""One request and its response on a connection: ``receive`` and ``send`` of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from sarlens.api.common.disconnect import CONNECTION_EXTENSION, ClientDisconnected
from sarlens.api.common.error_responses import INTERNAL_ERROR_MESSAGE, send_error
from sarlens.errors import SarlensError
from sarlens.observability.metrics import Metrics
from sarlens.server.response_head import Framing, ResponseHead
from sarlens.server.response_transport import ResponseTransport

log = structlog.get_logger(__name__)

_DISCONNECT: Message = {"type": "http.disconnect"}
_MAX_JOINED_BYTES = 64 * 2**10
"""Size of a body that is sent in one piece with its head; a larger one isn't copied."""


class RequestCycle:
    """One request and its response.

    ``on_response`` is called after the last byte of the response was written. ``keep_alive`` and ``response_complete``
    are those of uvicorn's cycle, which uvicorn's protocol and server use.
    """

    def __init__(
        self,
        scope: Scope,
        transport: ResponseTransport,
        flow: FlowControl,
        default_headers: Sequence[tuple[bytes, bytes]],
        on_response: Callable[[], None],
        *,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        scope["extensions"] = {CONNECTION_EXTENSION: self}
        self.scope = scope
        self.task: asyncio.Task[None] | None = None
        """The task that runs the application."""
        self.keep_alive = keep_alive
        self.more_body = True
        self.disconnected = self.response_complete = False
        self._transport = transport
        self._flow = flow
        self._default_headers = default_headers
        self._on_response = on_response
        self._expects_continue = expects_continue
        self._body: bytes | bytearray = b""
        self._delivered = False
        self._failure: SarlensError | None = None
        self._changed: asyncio.Event | None = None
        self._disconnect_callback: Callable[[], None] | None = None
        self._head: ResponseHead | None = None
        self._held = b""
        self._remaining = 0

    # Events of the connection

    def feed(self, part: bytes) -> None:
        """Keep a part of the body until the application receives it."""
        if not self._body:
            self._body = part
        elif isinstance(self._body, bytearray):
            self._body += part
        else:
            self._body = bytearray(self._body + part)
        self._notify()

    @property
    def bytes_buffered(self) -> int:
        """Size of the parts that the application hasn't received."""
        return len(self._body)

    def end_body(self) -> None:
        """End the body."""
        self.more_body = False
        self._notify()

    def fail(self, error: SarlensError) -> None:
        """Let ``receive`` raise an error in place of the rest of the body."""
        self._failure = error
        self._notify()

    def disconnect(self) -> None:
        """End the request, since the connection has ended."""
        self.disconnected = True
        self._notify()
        if self._disconnect_callback is not None:
            self._disconnect_callback()

    def watch_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback`` when the client disconnects, or now if it has; None ends this."""
        self._disconnect_callback = callback
        if self.disconnected and callback is not None:
            callback()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()

    # ASGI

    async def run(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Run the application for this request in ``task``, which leaves ``tasks`` at the end."""
        try:
            await app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            log.exception("unexpected error", path=self.scope["path"])
        finally:
            if self.task is not None:
                tasks.discard(self.task)
            del self.scope["extensions"]  # it refers to this object
            self.task = None
            if not self.response_complete and not self.disconnected:
                await self._abort()

    async def _abort(self) -> None:
        if self._head is None:
            await send_error(self.send, SarlensError(INTERNAL_ERROR_MESSAGE), self.scope["path"], "")
        else:
            self._transport.close()

    async def receive(self) -> Message:
        """Receive the next part of the body, or the end of the connection or of the response.

        Raises:
            SarlensError: the body is malformed or too slow.
        """
        if self._expects_continue and not self._transport.is_closing():
            self._expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.disconnected or self.response_complete):
            if self._failure is not None:
                raise self._failure
            # The connection reads on, also after the body, so that it sees its end.
            self._flow.resume_reading()
            if self._body or not (self.more_body or self._delivered):
                return self._next_part()
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()
        return _DISCONNECT

    def _next_part(self) -> Message:
        body, self._body = self._body, b""
        self._delivered = not self.more_body
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send a part of the response.

        After a response to an incomplete request, the connection closes.

        Raises:
            ClientDisconnected: the connection ended, so that the application needn't go on.
        """
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            raise ClientDisconnected
        if self._head is None:
            self._start(message["status"], message.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError("the response is complete already")
        else:
            self._write(self._head.framing, message.get("body", b""), more=message.get("more_body", False))

    def write(self, body: bytes) -> bool:
        """Write a part of a body of unknown length at once, as ``body_writer`` says."""
        if self.disconnected or self._head is None:
            return False
        if body and self._head.framing is Framing.CHUNKS:
            self._transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        else:
            self._write(self._head.framing, body, more=True)
        return not self._flow.write_paused

    def _start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head; that of a body of known length is sent with the first part of the body."""
        scope = self.scope
        self._expects_continue = False
        self.keep_alive = self.keep_alive and not self.more_body
        self._head = head = ResponseHead.build(
            scope["method"],
            scope["http_version"],
            status,
            [*self._default_headers, *headers],
            keep_alive=self.keep_alive,
        )
        self._remaining = head.length
        if head.framing is Framing.LENGTH:
            self._held = head.data
        else:
            self._transport.write(head.data)

    def _write(self, framing: Framing, body: bytes, *, more: bool) -> None:
        if framing is Framing.LENGTH:
            self._remaining -= len(body)
            if self._remaining < 0 or (self._remaining and not more):
                raise RuntimeError("the response doesn't have its Content-Length")
            if self._held and len(body) > _MAX_JOINED_BYTES:
                self._transport.write(self._held)
                self._transport.write(body)
            else:
                self._transport.write(self._held + body if self._held else body)
            self._held = b""
        elif framing is Framing.CHUNKS:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._transport.write(chunk if more else chunk + b"0\r\n\r\n")
        elif framing is Framing.CONNECTION:
            self._transport.write(body)
        if not more:
            self.response_complete = True
            self._notify()
            if not self.keep_alive:
                self._transport.close()
            self._on_response()


class ErrorResponse:
    """An ASGI application that answers with one error."""

    def __init__(self, error: SarlensError, metrics: Metrics) -> None:
        self._error = error
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request behind ``RequestIdMiddleware``."""
        self._metrics.errors.labels(self._error.code).inc()
        await send_error(send, self._error, scope["path"], scope["state"]["headers"].request_id)
