"""A transport in memory, to feed the connections of the worker client byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sarlens.workers.clients.http1.connection import Connection
from sarlens.workers.clients.http1.deadlines import Deadlines
from sarlens.workers.clients.http1.response import Response


class MemoryTransport(asyncio.Transport):
    """Records what a connection does with its transport."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.unsent_bytes = self.pieces = self.pauses_after = 0
        self.protocol: Connection | None = None
        self.closed = self.aborted = self.paused = False

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Record a message."""
        self.sent += b"".join(list_of_data)

    def write(self, data: Any) -> None:
        """Record a piece; pause the protocol after ``pauses_after`` pieces."""
        self.sent += data
        self.pieces += 1
        if self.pieces == self.pauses_after and self.protocol is not None:
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the peer hasn't accepted."""
        return self.unsent_bytes

    def is_closing(self) -> bool:
        """Return whether the transport was closed."""
        return self.closed or self.aborted

    def close(self) -> None:
        """Record the end."""
        self.closed = True

    def abort(self) -> None:
        """Record the end."""
        self.aborted = True

    def pause_reading(self) -> None:
        """Record the pause."""
        self.paused = True

    def resume_reading(self) -> None:
        """Record the end of the pause."""
        self.paused = False


@dataclass
class Exchange:
    """A request on a connection in memory, and its response. It needs a running event loop."""

    max_bytes: int = 2**20
    idle: list[Connection] = field(default_factory=list)
    """The connection, once it can carry another request."""
    removed: int = 0

    def __post_init__(self) -> None:
        self.transport = MemoryTransport()
        self.connection = Connection(self, Deadlines())
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)
        self.request()

    def request(self, body: bytes | bytearray = b"") -> Response:
        """Send a request."""
        self.idle.clear()
        self.response = Response(self.connection, self.max_bytes, 60)
        self.connection.send(b"GET / HTTP/1.1\r\n\r\n", body, self.response, float("inf"))
        return self.response

    def release(self, connection: Connection) -> None:
        """Keep the connection."""
        self.idle.append(connection)

    def remove(self, connection: Connection) -> None:
        """Count the end of the connection."""
        self.removed += 1

    def feed(self, pieces: Sequence[bytes], *, end: bool) -> Exchange:
        """Receive pieces as a transport passes them on, and the end of the connection."""
        for piece in pieces:
            if piece and not self.transport.is_closing() and not self.transport.paused:
                self.connection.data_received(piece)
        if end or self.transport.is_closing():
            self.connection.connection_lost(None)
        return self

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can carry another request."""
        return bool(self.idle) and self.connection.is_open
