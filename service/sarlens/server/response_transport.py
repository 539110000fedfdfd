"""The transport of a connection as its responses use it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCOUTQ


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
        """Bytes that the client's system hasn't received yet, in the buffers of this process and of its system.

        The buffer of the system holds some megabytes, which can be minutes of a stream.
        """
        return self._transport.get_write_buffer_size() + _unsent_bytes(self._transport)

    def write(self, data: bytes) -> None:
        """Write a part of a response."""
        self.bytes_written += len(data)
        self._transport.write(data)


def _unsent_bytes(transport: asyncio.Transport) -> int:
    """Return the bytes in the send buffer of a socket, or 0 if the system doesn't say."""
    sock = transport.get_extra_info("socket")
    try:
        return int(struct.unpack("i", ioctl(sock.fileno(), TIOCOUTQ, bytes(4)))[0])
    except (OSError, AttributeError, ValueError):
        return 0
