"""Request bodies in, JSON responses out, for routes that FastAPI does not parse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.types import Message, Receive, Scope, Send

from sarlens.admission.body_memory import MemoryReservation
from sarlens.api.common.disconnect import CONNECTION_EXTENSION, RequestConnection
from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.json_input import Document

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""Header by which a browser doesn't take the text of a model for a page."""

HEADERS_ONLY = "sarlens.headers_only"
"""Key of a scope whose request has the method HEAD: a body that is costly to make isn't made."""

_MAX_PARTS = 16

_JSON = (b"content-type", b"application/json")


def body_writer(scope: Scope) -> Callable[[bytes], bool]:
    """Return a function that writes a part of a streamed body at once, without a change of tasks.

    Call it after ``http.response.start``. It returns False if the client doesn't keep up, or has disconnected; then
    send an empty part, which waits for the client, or raises ClientDisconnected.
    """
    connection: RequestConnection = scope["extensions"][CONNECTION_EXTENSION]
    return connection.write


async def send_json(send: Send, status: int, body: bytes) -> None:
    """Send a complete response in JSON."""
    headers = [_JSON, NOSNIFF, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def with_ignored_fields(send: Send, names: Sequence[str]) -> Send:
    """Return a ``send`` that names the first fields that the gateway removed from the body in a header."""
    header = (b"sarlens-ignored-fields", ", ".join(name[:64] for name in names[:16]).encode())

    def send_with_header(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], header]
        return send(message)

    return send_with_header


def has_etag(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether the values of ``If-None-Match`` name an entity tag, by weak comparison (RFC 9110, section 13.1.2)."""
    tags = ",".join(if_none_match).split(",")
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in tags)


async def read_body(scope: Scope, receive: Receive, max_bytes: int, reservation: MemoryReservation) -> Document:
    """Read the body of a request; ``reservation`` grows with the bytes that arrive.

    A body of many parts is a bytearray, which grows in place: to join 64 MiB at the end would pause the event loop for
    40 ms, and a list of short parts takes many times the memory of their bytes.

    Raises:
        PayloadTooLarge: the body has, or announces, more than ``max_bytes`` bytes.
        RequestTimeout: the body arrives too slowly.
        Overloaded: the bodies of other requests use the memory.
        BadRequest: the client disconnected before the body was complete.
    """
    size = 0
    parts: list[bytes] = []
    grown = bytearray()
    for name, value in scope["headers"]:
        if name == b"content-length":
            _check_size(int(value), max_bytes)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The body ended before it was complete.")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        _check_size(size, max_bytes)
        reservation.extend_to(size)
        parts.append(part)
        if more and len(parts) < _MAX_PARTS:
            continue
        joined = part if len(parts) == 1 else b"".join(parts)
        if not more and not grown:
            return joined
        grown += joined
        if not more:
            return grown
        parts.clear()


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise PayloadTooLarge(f"The body exceeds the limit of {max_bytes} bytes.")
