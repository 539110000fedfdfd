"""The head of a response, and the framing of its body."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple

_LINE_END = b"\r\n"
_NO_CONTROLS = bytes(byte for byte in range(256) if byte == ord("\t") or (byte >= ord(" ") and byte != 0x7F))
"""All bytes except for control characters."""
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Framing(Enum):
    """How a client finds the end of a body."""

    NONE = auto()
    """The response has no body."""
    LENGTH = auto()
    """``Content-Length``."""
    CHUNKS = auto()
    CONNECTION = auto()
    """The body ends with the connection, since HTTP/1.0 has no chunks."""


class ResponseHead(NamedTuple):
    """The head of a response."""

    data: bytes
    framing: Framing
    length: int
    """Bytes of the body, if the framing is its length."""

    @classmethod
    def build(
        cls, method: str, version: str, status: int, headers: Sequence[tuple[bytes, bytes]], *, keep_alive: bool
    ) -> ResponseHead:
        """Build the head of a response to a request of this method and HTTP version.

        Raises:
            ValueError: a header has a control character, which could begin another header.
        """
        lines = [_STATUS_LINES[status]]
        length: int | None = None
        for header in headers:
            lines.append(b": ".join(header))
            if header[0] == b"content-length":
                length = int(header[1])
        if method == "HEAD" or status in _WITHOUT_BODY:
            framing = Framing.NONE
        elif length is not None:
            framing = Framing.LENGTH
        elif version == "1.0":
            framing = Framing.CONNECTION
        else:
            framing = Framing.CHUNKS
            lines.append(b"transfer-encoding: chunked")
        if not keep_alive:
            lines.append(b"connection: close")
        lines += (b"", b"")
        data = _LINE_END.join(lines)
        if data.translate(None, _NO_CONTROLS) != _LINE_END * (len(lines) - 1):
            raise ValueError("a response header has a control character")
        return cls(data, framing, length or 0)
