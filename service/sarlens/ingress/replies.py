"""Answers on the wire: JSON, errors as OpenAI writes them, and the reading of bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from sarlens.admission.memory import Holding
from sarlens.errors import BadRequest, SarlensError, TooLarge

UNEXPECTED = "Something went wrong inside Sarlens; it has been logged under the request id."

_JSON, _PROBLEM = "application/json", "application/problem+json"
_OGC = frozenset({"/", "/conformance", "/processes", "/jobs", "/collections"})
_OGC_BELOW = ("/processes/", "/jobs/", "/collections/")
_EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"

Headers = Iterable[tuple[bytes, bytes]]


def error_object(error: SarlensError, request_id: str) -> dict[str, Any]:
    """The OpenAI error object of an error."""
    return {
        "error": {
            "message": error.message,
            "type": error.kind,
            "param": error.param,
            "code": error.code,
            "request_id": request_id,
        }
    }


def error_document(error: SarlensError, path: str, request_id: str) -> tuple[dict[str, Any], str]:
    """An error as the protocol of a path has it, and its media type.

    The Open Inference Protocol wants a sentence, OGC APIs a problem (RFC 9457), all others what OpenAI wants.
    """
    if path.startswith("/v2"):
        return {"error": error.message, "code": error.code, "request_id": request_id}, _JSON
    if path not in _OGC and not path.startswith(_OGC_BELOW):
        return error_object(error, request_id), _JSON
    kind = _EXCEPTIONS + error.ogc if error.ogc else "about:blank"
    problem = {"type": kind, "title": error.code, "status": error.status, "detail": error.message}
    return problem | {"code": error.code, "instance": f"urn:request:{request_id}"}, _PROBLEM


def retry_after(error: SarlensError) -> dict[str, str]:
    """The header that says when to try again, where the error knows."""
    return {} if error.retry_after is None else {"retry-after": str(error.retry_after)}


async def send_error(send: Send, error: SarlensError, path: str, request_id: str) -> None:
    """Answer with an error, as the protocol of the path has it."""
    headers = [(name.encode(), value.encode()) for name, value in retry_after(error).items()]
    told, media_type = error_document(error, path, request_id)
    await send_json(send, error.status, orjson.dumps(told), media_type, headers=headers)


async def send_json(
    send: Send, status: int, body: bytes, content_type: str = "application/json", headers: Headers = ()
) -> None:
    """Answer with a body that is complete."""
    head = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def read_body(scope: Scope, receive: Receive, limit: int, holding: Holding) -> bytes:
    """The request's body, refused as soon as it is known to be too large; ``holding`` counts it.

    Raises:
        TooLarge: it is longer than ``limit`` bytes, or says that it will be.
        Overloaded: there is no memory for it now.
        BadRequest: the caller went away before it was complete.
    """
    too_large = TooLarge(f"The body is over the limit of {limit} bytes.")
    for name, value in scope["headers"]:
        if name == b"content-length":
            if int(value) > limit:
                raise too_large
            holding.grow(int(value))
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The body ended before it was complete.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large
        holding.grow(size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
