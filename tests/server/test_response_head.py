"""The head of a response and the framing of its body."""

from __future__ import annotations

import pytest

from sarlens.server.response_head import Framing, ResponseHead

LENGTH, TYPE = (b"content-length", b"5"), (b"content-type", b"text/plain")


@pytest.mark.parametrize(
    ("method", "version", "status", "headers", "framing", "length", "added"),
    [
        ("POST", "1.1", 200, [TYPE, LENGTH], Framing.LENGTH, 5, b""),
        ("GET", "1.1", 200, [TYPE], Framing.CHUNKS, 0, b"transfer-encoding: chunked\r\n"),
        ("GET", "1.0", 200, [LENGTH], Framing.LENGTH, 5, b""),
        ("GET", "1.0", 200, [TYPE], Framing.CONNECTION, 0, b""),
        ("HEAD", "1.1", 200, [LENGTH], Framing.NONE, 5, b""),
        ("HEAD", "1.1", 200, [TYPE], Framing.NONE, 0, b""),
        ("GET", "1.1", 204, [], Framing.NONE, 0, b""),
        ("GET", "1.1", 304, [TYPE], Framing.NONE, 0, b""),
    ],
)
def test_the_framing(
    method: str,
    version: str,
    status: int,
    headers: list[tuple[bytes, bytes]],
    framing: Framing,
    length: int,
    added: bytes,
) -> None:
    """A body is framed by its length, else by chunks, else by the connection; some responses have no body."""
    head = ResponseHead.build(method, version, status, headers, keep_alive=True)
    assert (head.framing, head.length) == (framing, length)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    assert head.data.partition(b"\r\n")[2] == lines + added + b"\r\n"


def test_the_status_line_and_the_end_of_the_connection() -> None:
    """The first line has the standard phrase; a connection that closes says so."""
    assert ResponseHead.build("GET", "1.1", 503, [LENGTH], keep_alive=False).data == (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("control", [b"\r", b"\n", b"\r\nx: y", b"\0", b"\x7f"])
def test_control_characters_are_rejected(control: bytes) -> None:
    """Neither a name nor a value can begin another header."""
    for header in ((b"a" + control, b"b"), (b"a", b"b" + control)):
        with pytest.raises(ValueError, match="control character"):
            ResponseHead.build("GET", "1.1", 200, [header], keep_alive=True)
