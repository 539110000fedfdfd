"""Errors of workers: what a rejection or an error event says, in any of the shapes that servers use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from http.client import responses
from typing import Any

import orjson

from sarlens.errors import BadRequest, ModelNotFound, NoWorkerAvailable, PayloadTooLarge, SarlensError, WorkerFailed

MAX_MESSAGE_CHARS = 2000
_MAX_ERROR_BYTES = 64 * 2**10

_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,2000})</title", re.IGNORECASE)
_INVISIBLE = re.compile(r"<(script|style)\b.*?(</\1[^>]*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*(>|\Z)")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")

_STATUSES = {
    **dict.fromkeys(("BadRequestError", "invalid_request_error", "context_length_exceeded"), 400),
    **dict.fromkeys(("AuthenticationError", "authentication_error", "invalid_api_key"), 401),
    **dict.fromkeys(("PermissionDeniedError", "permission_error"), 403),
    **dict.fromkeys(("NotFoundError", "not_found_error", "model_not_found"), 404),
    **dict.fromkeys(("UnprocessableEntityError",), 422),
    **dict.fromkeys(("RateLimitError", "rate_limit_error", "rate_limit_exceeded"), 429),
    **dict.fromkeys(("InternalServerError", "server_error", "api_error", "internal_error"), 500),
    **dict.fromkeys(("ServiceUnavailableError", "overloaded_error"), 503),
    **dict.fromkeys(("GatewayTimeoutError", "timeout_error"), 504),
}
_MESSAGE_FIELDS = ("message", "title", "msg", "reason", "error_description")
_TYPES = {404: "not_found_error", 429: "rate_limit_error"}


class WorkerReportedError(WorkerFailed):
    """A worker reported an error in the middle of a stream."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error["message"]), param=_text_or_none(error.get("param")))
        self.error = error
        """OpenAI's error object with the words of the worker."""


def error_of_body(status: int, body: bytes) -> dict[str, Any]:
    """Return OpenAI's error object for the body of a rejection, which may be JSON, HTML or text.

    An error object of the worker is returned as it is. In all other cases the message is text of at most
    ``MAX_MESSAGE_CHARS`` characters.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _describe(status, _plain_text(body.decode(errors="replace")))
    if not isinstance(document, dict):
        return _describe(status, document if isinstance(document, str) else "")
    if error := reported_error(document, status):
        return error
    if "detail" in document:
        return _validation_error(status, document["detail"])
    text = next((document[name] for name in _MESSAGE_FIELDS if isinstance(document.get(name), str)), "")
    return _describe(status, text) | _details(document)


def reported_error(document: Mapping[str, Any], status: int | None = None) -> dict[str, Any] | None:
    """Return OpenAI's error object if a JSON document reports an error, or None.

    The shapes are OpenAI's, a bare text in ``error``, and ``{"object": "error"}`` of old vLLM.
    """
    error = document.get("error")
    if not error and document.get("object") != "error":
        return None
    fields = error if isinstance(error, dict) else document
    message = fields.get("message") if isinstance(error, dict) or not error else error
    if isinstance(error, dict) and isinstance(message, str) and message and _is_small(error):
        return error
    text = message if isinstance(message, str) else ""
    return _describe(status or status_of(fields, 502), text) | _details(fields)


def status_of(error: Mapping[str, Any], default: int) -> int:
    """Return the HTTP status that the fields of an error name, by number or by type."""
    for name in ("code", "status", "status_code"):
        text = str(error.get(name))
        if len(text) == 3 and text.isascii() and text.isdigit() and 400 <= int(text) < 600:
            return int(text)
    return next(
        (_STATUSES[name] for name in (str(error.get("type")), str(error.get("code"))) if name in _STATUSES), default
    )


def to_gateway_error(status: int, error: Mapping[str, Any]) -> SarlensError:
    """Map an HTTP error of a worker to a gateway error with the worker's message."""
    message, param = str(error["message"]), _text_or_none(error.get("param"))
    if status in {429, 503}:
        return NoWorkerAvailable(message, param=param, retry_after=2)
    if status >= 500:
        return WorkerFailed(message, param=param)
    error_cls = {404: ModelNotFound, 413: PayloadTooLarge}.get(status, BadRequest)
    return error_cls(message, param=param)


def _is_small(error: Mapping[str, Any]) -> bool:
    """Return whether an error object is no larger than the body of an error may be."""
    return len(error["message"]) <= MAX_MESSAGE_CHARS and len(orjson.dumps(error)) <= _MAX_ERROR_BYTES


def _validation_error(status: int, detail: object) -> dict[str, Any]:
    """Return the error object of FastAPI's ``detail``: a text, or a list of fields with their errors."""
    if not isinstance(detail, list):
        return _describe(status, detail if isinstance(detail, str) else "")
    fields = [item for item in detail if isinstance(item, dict)]
    sentences, names = [], []
    for item in fields[:8]:
        path = item.get("loc")
        steps = [str(step) for step in path[:16]] if isinstance(path, list) else []
        names.append(".".join(steps[1:] if steps[:1] == ["body"] else steps))
        sentences.append(f"{names[-1]}: {item.get('msg', '')}".removeprefix(": "))
    return _describe(status, "; ".join(sentences)) | {"param": names[0][:200] if names and names[0] else None}


def _describe(status: int, text: str) -> dict[str, Any]:
    message = _SPACE.sub(" ", text[: 4 * MAX_MESSAGE_CHARS]).strip()[:MAX_MESSAGE_CHARS]
    if not message:
        phrase = responses.get(status, "unknown status")
        message = f"The worker rejected the request with status {status} ({phrase})."
    error_type = _TYPES.get(status, "invalid_request_error" if status < 500 else "upstream_error")
    return {"message": message, "type": error_type, "param": None, "code": status}


def _details(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return type, parameter and code of an error, if they are short texts or numbers."""
    return {
        name: error[name]
        for name in ("type", "param", "code")
        if isinstance(error.get(name), int) or (isinstance(error.get(name), str) and len(error[name]) <= 200)
    }


def _plain_text(text: str) -> str:
    """Return the title of an HTML page, or its text, or a text as it is."""
    if "<" not in text:
        return text
    if title := _TITLE.search(text):
        return unescape(title[1])
    return unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", text)))


def _text_or_none(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None
