"""Errors on the wire: one function maps an error to the status, headers and body of each HTTP protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from starlette.types import Send

from sarlens.errors import MethodNotAllowed, SarlensError, Unauthenticated

INTERNAL_ERROR_MESSAGE = "An internal error occurred. The log has the details under the request id."

_OGC = frozenset({"/", "/conformance", "/processes", "/jobs", "/collections"})
_OGC_PREFIXES = ("/processes/", "/jobs/", "/collections/")
_OGC_EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"

MESSAGES_PATH = "/v1/messages"
"""Path of the Messages API."""
_ANTHROPIC_TYPES = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error", "rate_limit_error"}
)


class ErrorResponse(NamedTuple):
    """A complete HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


def render_error(error: SarlensError, path: str, request_id: str) -> ErrorResponse:
    """The response to an error of a request to ``path``, in the format of the path's protocol.

    Below ``/v2`` it is an error of the Open Inference Protocol, in the OGC APIs a problem of RFC 9457, in the Messages
    API an Anthropic error object, and elsewhere an OpenAI error object.
    """
    headers = {"content-type": "application/json"}
    if path.startswith("/v2"):
        document = {"error": error.message, "code": error.code, "request_id": request_id}
    elif path in _OGC or path.startswith(_OGC_PREFIXES):
        document, headers["content-type"] = _problem(error, request_id), "application/problem+json"
    else:
        document = error_body(openai_error(error, request_id)["error"], path)
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    elif isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allow)
    return ErrorResponse(error.status, headers, orjson.dumps(document))


async def send_error(send: Send, error: SarlensError, path: str, request_id: str) -> None:
    """Send the response to an error."""
    status, headers, body = render_error(error, path, request_id)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def openai_error(error: SarlensError, request_id: str) -> dict[str, Any]:
    """The OpenAI error object, which is also the error of a single task and of an event stream."""
    return {
        "error": {
            "message": error.message,
            "type": error.openai_type,
            "param": error.param,
            "code": error.code,
            "request_id": request_id,
        }
    }


def error_body(error: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The body of an error that has OpenAI's fields, in the format of the Messages API below its path."""
    if path != MESSAGES_PATH and not path.startswith(f"{MESSAGES_PATH}/"):
        return {"error": error}
    return {"type": "error", "error": anthropic_error(error), "request_id": error["request_id"]}


def anthropic_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic's error object from the fields of OpenAI's, whose types differ for failures of the server only."""
    error_type = error.get("type")
    return {
        "type": error_type if error_type in _ANTHROPIC_TYPES else "api_error",
        "message": error["message"],
        "param": error.get("param"),
        "code": error.get("code"),
    }


def _problem(error: SarlensError, request_id: str) -> dict[str, Any]:
    return {
        "type": _OGC_EXCEPTIONS + error.ogc_exception if error.ogc_exception else "about:blank",
        "title": error.code,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "instance": f"urn:request:{request_id}",
    }
