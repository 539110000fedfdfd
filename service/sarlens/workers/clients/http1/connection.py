"""One HTTP/1.1 connection to a worker."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol, cast

import httptools

from sarlens.errors import WorkerFailed
from sarlens.json_input import Document
from sarlens.workers.clients.base import StaleConnection
from sarlens.workers.clients.http1.deadlines import Deadlines
from sarlens.workers.clients.http1.response import Response

MAX_HEAD_BYTES = 64 * 2**10
"""Maximum number of bytes that may arrive without a byte of a body: heads, chunk extensions or trailers."""
_KEPT = frozenset({b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"retry-after"})
_WITHOUT_BODY = frozenset({204, 304})
_FIRST_BYTE = ord("H")
_PIECE_BYTES = 256 * 2**10
_NOTHING = memoryview(b"")

_INVALID = "The worker's response isn't valid HTTP/1.1."
_CLOSED_BEFORE = "The worker closed the connection before it responded."
_CLOSED_AMID = "The worker closed the connection in the middle of its response."


class Owner(Protocol):
    """The pool of a connection."""

    def release(self, connection: Connection) -> None:
        """Keep a connection that can carry another request."""

    def remove(self, connection: Connection) -> None:
        """Drop a connection that has ended."""


class Connection(asyncio.Protocol):
    """A connection that carries one request and its response at a time.

    It accepts what llhttp accepts without leniencies, and less: only versions 1.0 and 1.1, and no transfer encoding
    but ``chunked``. It is used again only if all bytes of the request were sent and none came after the response.
    """

    def __init__(self, owner: Owner, deadlines: Deadlines) -> None:
        self._owner = owner
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set when the connection is made
        self._response: Response | None = None
        self._headers: dict[bytes, bytes] = {}
        self._unproductive_bytes = self._head_bytes = 0
        self._reading_head = True
        self._keep_alive = self._ends_with_connection = self._paused = self._write_paused = False
        self._unsent = _NOTHING
        self._requests = 0
        self.expires_at = inf

    @property
    def is_open(self) -> bool:
        """Whether the connection can carry a request."""
        return not self._transport.is_closing()

    def send(self, head: bytes, body: Document, response: Response, expires_at: float) -> None:
        """Send a request, whose response must be readable before the time ``expires_at``."""
        self._response = response
        self._reading_head = True
        self._unproductive_bytes = self._head_bytes = 0
        self._requests += 1
        self.expires_at = expires_at
        self._deadlines.notice(expires_at)
        if len(body) <= _PIECE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._write_pieces()

    def _write_pieces(self) -> None:
        """Write a long body in pieces: a transport copies or encrypts at once what the socket doesn't accept."""
        while self._unsent and not self._write_paused:
            piece, self._unsent = self._unsent[:_PIECE_BYTES], self._unsent[_PIECE_BYTES:]
            self._transport.write(piece)

    def set_timeout(self, timeout_s: float) -> None:
        """Set the deadline to this many seconds from now."""
        self.expires_at = self._loop.time() + timeout_s
        self._deadlines.notice(self.expires_at)

    def expire(self) -> None:
        """End the connection, since its deadline has passed."""
        self.expires_at = inf
        response, self._response = self._response, None
        if response is None:
            self._transport.close()
        else:
            response.fail(response.timeout_error())
            self.abort()

    def shut_down(self) -> None:
        """End the connection, since the gateway ends."""
        self._fail(WorkerFailed("The gateway closed its connection to the worker."))

    def pause_reading(self) -> None:
        """Receive nothing, until ``resume_reading`` is called."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """End the connection at once; its response gets nothing more."""
        self._response = None
        self._unsent = _NOTHING
        self._transport.abort()

    # Callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._deadlines.add(self)

    def pause_writing(self) -> None:
        """Write nothing more of a long body, since the worker doesn't keep up."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Write the next pieces of a long body."""
        self._write_paused = False
        self._write_pieces()

    def data_received(self, data: bytes) -> None:
        """Parse bytes of the worker."""
        if self._response is None or (not self._unproductive_bytes and self._reading_head and data[0] != _FIRST_BYTE):
            self._fail(WorkerFailed(_INVALID))
            return
        self._unproductive_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(_cause(error))
            return
        if self._response is None:
            self._finish()
        elif self._unproductive_bytes > MAX_HEAD_BYTES:
            self._fail(_head_too_large())

    def connection_lost(self, exc: Exception | None) -> None:
        """End the response, which is complete only if its end is that of the connection."""
        self._deadlines.remove(self)
        self._owner.remove(self)
        del self._parser  # it refers to this object
        self._unsent = _NOTHING
        response, self._response = self._response, None
        if response is None:
            return
        if self._reading_head:
            # A worker that closes an idle connection hasn't read the request.
            stale = self._requests > 1 and not self._unproductive_bytes
            response.fail(StaleConnection(_CLOSED_BEFORE) if stale else WorkerFailed(_CLOSED_BEFORE))
        elif self._ends_with_connection and exc is None:
            response.end()
        else:
            response.fail(WorkerFailed(_CLOSED_AMID))

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        """Begin a head, unless the response was complete."""
        if self._response is None:
            raise WorkerFailed(_INVALID)
        self._headers = {}
        self._reading_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header that matters; trailers don't.

        Raises:
            WorkerFailed: the head is too large.
        """
        if not self._reading_head:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _head_too_large()
        name = name.lower()
        if name in _KEPT:
            known = self._headers.get(name)
            self._headers[name] = value if known is None else b"%b, %b" % (known, value)

    def on_headers_complete(self) -> None:
        """Check the framing, and begin the response, unless the head is informational.

        Raises:
            WorkerFailed: the head isn't valid, or the response isn't accepted.
        """
        parser, headers, response = self._parser, self._headers, self._response
        status, version = parser.get_status_code(), parser.get_http_version()
        if response is None or status < 100 or version not in {"1.1", "1.0"}:
            raise WorkerFailed(_INVALID)
        if status < 200:  # the parser itself stops at 101
            return
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
            raise WorkerFailed("The worker's response has a transfer encoding that the gateway doesn't accept.")
        self._reading_head = False
        self._keep_alive = parser.should_keep_alive()
        self._ends_with_connection = coding is None and b"content-length" not in headers and status not in _WITHOUT_BODY
        response.begin(status, headers)

    def on_body(self, data: bytes) -> None:
        """Pass on a part of the body."""
        self._unproductive_bytes = 0
        if self._response is not None:
            self._response.receive(data)

    def on_message_complete(self) -> None:
        """End the response, unless the message was informational."""
        if self._reading_head:
            return
        response, self._response = self._response, None
        if response is not None:
            response.end()

    def _finish(self) -> None:
        """Keep the connection if it can carry another request."""
        transport = self._transport
        is_sent = not self._unsent and not transport.get_write_buffer_size()
        if self._keep_alive and is_sent and not transport.is_closing():
            self.resume_reading()
            self._owner.release(self)
        else:
            transport.close()

    def _fail(self, error: Exception) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.fail(error)
        self.abort()


def _cause(error: Exception) -> Exception:
    """Return the exception that a callback raised, or what the parser found."""
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and isinstance(cause, Exception):
        return cause
    return WorkerFailed(_INVALID)


def _head_too_large() -> WorkerFailed:
    return WorkerFailed(f"The head of the worker's response exceeds the limit of {MAX_HEAD_BYTES} bytes.")
