"""Responses of workers after the gateway has judged them: a completion, a stream of chunks, or a rejection."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from sarlens.chat.parse import ChatRequest
from sarlens.errors import BadRequest, WorkerFailed
from sarlens.inference.worker_error import WorkerReportedError, error_of_body, reported_error, status_of
from sarlens.inference.worker_stream import StreamedResponse, parse_object
from sarlens.observability.tracing import Span
from sarlens.workers.clients.base import WorkerResponse
from sarlens.workers.worker import Worker

_NO_ROUTE = {404: "Not Found", 405: "Method Not Allowed"}
"""Messages of web frameworks about a path that they don't serve, by status."""
_JSON_TYPES = frozenset({"application/json", ""})
_NOT_JSON = {
    "message": "The worker's response isn't JSON, the only format that the gateway forwards from this route.",
    "type": BadRequest.openai_type,
    "param": None,
    "code": BadRequest.code,
}


class WorkerKeyRejected(WorkerFailed):
    """A worker rejected the gateway's own API key, so the caller can't change anything."""


class CompleteResponse(NamedTuple):
    """A completion in one piece."""

    body: bytes
    """The bytes of the worker."""
    document: dict[str, Any]
    """Parsed body."""


class RejectedResponse(NamedTuple):
    """An error of the worker, from its status or from the first event of its stream."""

    status: int
    error: dict[str, Any]
    """OpenAI's error object with the words of the worker."""
    retry_after_s: int | None = None
    """Seconds until a retry may succeed, if the worker states them."""
    in_stream: bool = False
    """Whether the error is the first event of a stream."""

    def error_for(self, chat_request: ChatRequest) -> dict[str, Any]:
        """Return the error object for the caller of a request: with its id, and the path if the worker lacks it."""
        error = {**self.error, "request_id": chat_request.request_id}
        if error["message"] == _NO_ROUTE.get(self.status):
            error["message"] = f"The worker of this model has no route {chat_request.path}."
        return error


JudgedResponse = CompleteResponse | RejectedResponse | StreamedResponse


def judge(response: WorkerResponse, worker: Worker, span: Span, *, generates: bool = True) -> JudgedResponse:
    """Return what the response of a worker means.

    ``generates`` is false for a request that isn't one for generated text: its response may be any JSON. The caller may
    have requested another format, so that isn't a failure of the worker.

    Raises:
        WorkerKeyRejected: the worker rejected the gateway's API key.
        WorkerFailed: the response is neither a completion nor an error in JSON.
    """
    status = response.status
    if not generates and status < 300 and response.content_type not in _JSON_TYPES:
        return RejectedResponse(400, dict(_NOT_JSON))
    if response.is_stream:
        try:
            return StreamedResponse(response, worker, span)
        except WorkerReportedError as reported:
            return _reject(status_of(reported.error, 502), reported.error, None, in_stream=True)
    if status >= 400:
        return _judge_error(status, response.first_chunk, response.retry_after_s)
    if status >= 300 or response.content_type not in _JSON_TYPES:
        raise WorkerFailed("The worker's response is neither JSON nor a stream of events.")
    document = parse_object(response.first_chunk) if generates else _parse_any(response.first_chunk)
    if error := reported_error(document):
        return _reject(status_of(error, 502), error, response.retry_after_s)
    return CompleteResponse(response.first_chunk, document)


def _parse_any(body: bytes) -> dict[str, Any]:
    """Return a JSON object, or an empty one for other JSON; raises WorkerFailed as ``parse_object`` does."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise WorkerFailed("The worker's response isn't valid JSON.") from None
    return document if isinstance(document, dict) else {}


def _judge_error(status: int, body: bytes, retry_after_s: int | None) -> RejectedResponse:
    if status < 500 or status in {501, 503}:
        return _reject(status, error_of_body(status, body), retry_after_s)
    if error := reported_error(parse_object(body), status):
        return _reject(status, error, retry_after_s)
    raise WorkerFailed("The worker failed without an error message.")


def _reject(
    status: int, error: dict[str, Any], retry_after_s: int | None, *, in_stream: bool = False
) -> RejectedResponse:
    if status in {401, 403}:
        raise WorkerKeyRejected("The worker rejected the gateway's credentials.")
    return RejectedResponse(status, error, retry_after_s, in_stream)
