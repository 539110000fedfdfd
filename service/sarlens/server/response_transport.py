"""The transport of a connection as its responses use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ResponseTransport:
    """Counts the bytes of responses, and leaves the end of the connection to its protocol."""

    __slots__ = ("_transport", "bytes_written", "close", "is_closing")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.bytes_written = 0
        self.close = close
        self.is_closing = transport.is_closing

    @property
    def bytes_pending(self) -> int:
        """Bytes that the client hasn't read yet, except those in the buffers of the network."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write a part of a response."""
        self.bytes_written += len(data)
        self._transport.write(data)
