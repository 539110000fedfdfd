"""The head of a response, and the framing of its body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
"""Control characters, except for those at the end of a line."""
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
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
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                length = int(value)
        if method == "HEAD" or status in _WITHOUT_BODY:
            framing = Framing.NONE
        elif length is not None:
            framing = Framing.LENGTH
        elif version == "1.0":
            framing = Framing.CONNECTION
        else:
            framing = Framing.CHUNKS
            lines.append(b"transfer-encoding: chunked\r\n")
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        data = b"".join(lines)
        if _CONTROLS.search(data) or data.count(b"\n") != len(lines):
            raise ValueError("a response header has a control character")
        return cls(data, framing, length or 0)
