"""A worker's response as its connection receives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from typing import Protocol

from sarlens.errors import Timeout, WorkerFailed
from sarlens.workers.clients.base import EVENT_STREAM

MAX_ERROR_BYTES = 64 * 2**10
"""Maximum size of the body of an error, which is cut off there."""
_HIGH_WATER_BYTES = 64 * 2**10
"""Unread bytes of a stream from which on its connection reads no more."""
_MAX_RETRY_AFTER_S = 86_400


@lru_cache(maxsize=64)
def _media_type(value: bytes) -> str:
    """Return the media type of the header ``Content-Type`` without parameters, in lower case."""
    return value.partition(b";")[0].strip().lower().decode("latin-1")


class ResponseTooLarge(WorkerFailed):
    """The body of a response exceeds the limit."""


class ResponseConnection(Protocol):
    """The connection that receives a response."""

    expires_at: float
    """Time at which the response fails if no more arrives, in seconds of the event loop's clock."""

    def set_timeout(self, timeout_s: float) -> None:
        """Set ``expires_at`` to this many seconds from now."""

    def pause_reading(self) -> None:
        """Receive nothing, until ``resume_reading`` is called."""

    def resume_reading(self) -> None:
        """Receive again."""

    def abort(self) -> None:
        """End the connection at once."""


class Response:
    """A response as it arrives.

    A stream of events is readable from its first bytes on, any other response when it is complete. Its owner must
    ``close`` it, which ends the connection if the response isn't complete.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_error",
        "_headers",
        "_idle_timeout_s",
        "_loop",
        "_max_bytes",
        "_parts",
        "_size",
        "_waiter",
        "_write",
        "content_type",
        "first_chunk",
        "is_stream",
        "status",
    )

    def __init__(self, connection: ResponseConnection, max_bytes: int, idle_timeout_s: float = inf) -> None:
        """Expect a response of at most ``max_bytes``, or a stream with at most ``idle_timeout_s`` between its bytes."""
        self._loop = asyncio.get_running_loop()
        self._connection: ResponseConnection | None = connection
        self._max_bytes = max_bytes
        self._idle_timeout_s = idle_timeout_s
        self._headers: Mapping[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._write: Callable[[bytes], bool] | None = None
        self._error: Exception | None = None
        self.status = 0
        self.content_type = ""
        self.is_stream = False
        self.first_chunk = b""

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of the header ``Retry-After``, if the worker sent it."""
        text = self._headers.get(b"retry-after", b"")
        if text.isdigit() and len(text) < 10:
            return min(max(int(text), 1), _MAX_RETRY_AFTER_S)
        return None

    # Called by the connection

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """Take the head.

        Raises:
            WorkerFailed: the response is compressed, or larger than the limit.
        """
        self.status, self._headers = status, headers
        self.content_type = _media_type(headers.get(b"content-type", b""))
        coding = headers.get(b"content-encoding")
        compressed = coding is not None and coding.lower() != b"identity"
        if status >= 400:
            self._max_bytes = MAX_ERROR_BYTES
            if compressed:
                self._cut()
            return
        if compressed:
            raise WorkerFailed("The worker's response is compressed, which the gateway doesn't accept.")
        self.is_stream = self.content_type == EVENT_STREAM
        if not self.is_stream and int(headers.get(b"content-length", b"0")) > self._max_bytes:
            raise self._too_large()

    def receive(self, data: bytes) -> None:
        """Take a part of the body.

        Raises:
            ResponseTooLarge: the body is larger than the limit.
        """
        connection, write = self._connection, self._write
        if connection is None:
            return
        if write is not None:
            connection.expires_at = self._loop.time() + self._idle_timeout_s
            if not write(data):
                self._write = None
                self._wake()
            return
        self._parts.append(data)
        self._size += len(data)
        if self.is_stream:
            self._wake()
            if self._size > _HIGH_WATER_BYTES:
                connection.pause_reading()
        elif self._size > self._max_bytes:
            if self.status < 400:
                raise self._too_large()
            self._cut()

    def end(self) -> None:
        """The body is complete."""
        self._connection = None
        self._wake()

    def fail(self, error: Exception) -> None:
        """The response can't be completed."""
        self._error = error
        self.end()

    def timeout_error(self) -> Timeout:
        """Return the error if nothing more arrives in time."""
        if self._write is None:
            return Timeout("The worker didn't respond in time.")
        return Timeout("The worker stopped sending in the middle of its response.")

    # Called by the owner

    async def wait(self) -> None:
        """Wait until the response is readable.

        Raises:
            WorkerFailed: the worker sent no valid response.
            Timeout: the deadline of the response passed.
        """
        if self._connection is not None and not (self.is_stream and self._parts):
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._error is not None and not (self.is_stream and self._parts):
            self._raise_error()

    def take(self) -> bytes:
        """Return the bytes of the body that have arrived, and remove them; empty at the end of a stream."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        if self._size > _HIGH_WATER_BYTES and self._connection is not None:
            self._connection.resume_reading()
        self._size = 0
        return data

    def hold(self) -> None:
        """Set no deadline for more of a stream until it is read again."""
        if self._connection is not None:
            self._connection.expires_at = inf

    async def forward(self, write: Callable[[bytes], bool]) -> bool:
        """Pass a stream to ``write`` as it arrives, until its end, or until ``write`` returns False.

        ``write`` is called by the event loop when bytes arrive, without a change of tasks. It must not block.

        Returns:
            Whether there may be more.

        Raises:
            WorkerFailed: the worker closed the connection early.
            Timeout: the worker sent nothing for too long.
        """
        if self._parts and not write(self.take()):
            return True
        if self._connection is not None:
            self._write, self._waiter = write, self._loop.create_future()
            self._connection.set_timeout(self._idle_timeout_s)
            try:
                await self._waiter
            finally:
                self._write = None
                self.hold()
        if not self._parts:
            self._raise_error()
        return self._connection is not None or bool(self._parts)

    def close(self) -> None:
        """Close the response; before its end, this ends the connection, which aborts the generation."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _raise_error(self) -> None:
        """Raise the error of the response, once.

        Its traceback has this frame, so a reference from here would keep the body until a garbage collection.
        """
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _cut(self) -> None:
        """End the response here, without the rest of its body."""
        connection = self._connection
        self.end()
        if connection is not None:
            connection.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"The worker's response exceeds the limit of {self._max_bytes} bytes.")
