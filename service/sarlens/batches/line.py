"""Lines of a batch: the requests of the input file, and the lines of its results."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import orjson

from sarlens.errors import BadRequest, SarlensError
from sarlens.json_input import dump_json, load_json, run_off_loop

_MAX_CUSTOM_ID_CHARS = 512
_FIELDS = ("custom_id", "method", "url", "body")


class BatchLine(NamedTuple):
    """A request of a batch."""

    custom_id: str
    """Identifier of the client, which the result has too."""
    url: str
    """Path of the request."""
    body: dict[str, Any]
    size: int
    """Size of the line in bytes."""

    @classmethod
    def parse(cls, data: bytes, endpoint: str) -> BatchLine:
        """Parse a line of the input.

        Raises:
            BadRequest, PayloadTooLarge: the line isn't a request to the endpoint; ``param`` names the field.
        """
        document = load_json(data, "The line")
        if not isinstance(document, dict):
            raise BadRequest("The line must be a JSON object.")
        for name in _FIELDS:
            if name not in document:
                raise BadRequest(f"{name} is missing.", param=name)
        custom_id, method, url, body = (document[name] for name in _FIELDS)
        if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= _MAX_CUSTOM_ID_CHARS:
            raise BadRequest(f"custom_id must be a text of 1 to {_MAX_CUSTOM_ID_CHARS} characters.", param="custom_id")
        if method != "POST":
            raise BadRequest("method must be POST.", param="method")
        if url != endpoint:
            raise BadRequest(f"url must be {endpoint}, the endpoint of the batch.", param="url")
        if not isinstance(body, dict):
            raise BadRequest("body must be a JSON object.", param="body")
        return cls(custom_id, url, body, len(data))

    async def body_bytes(self) -> bytes:
        """Return the body as JSON; raises BadRequest if it is nested too deeply."""
        return await run_off_loop(self.size, partial(dump_json, self.body))


class LineResponse(NamedTuple):
    """The response to a line."""

    status: int
    """HTTP status."""
    body: bytes
    """JSON."""
    error: SarlensError | None = None
    """The gateway's error, if the response is one."""


class LineClient(Protocol):
    """Runs requests of batches as the API key that submitted them."""

    async def run(self, owner: str, request_id: str, line: BatchLine) -> LineResponse:
        """Return the response to a line; errors are responses too.

        Raises:
            Unauthenticated: the API key was removed or disabled.
        """

    async def abandon(self, owner: str, request_id: str, line: BatchLine) -> None:
        """End what a line without a result has begun, because its batch is canceled or has expired."""


def result_document(line_id: str, custom_id: str, request_id: str, response: LineResponse) -> str:
    """Return the line of a result: that of the output file, or of the error file for a status of 400 or more."""
    head = orjson.dumps({"id": line_id, "custom_id": custom_id})[:-1]
    inner = orjson.dumps({"status_code": response.status, "request_id": request_id})[:-1]
    body = response.body.replace(b"\r", b" ").replace(b"\n", b" ")
    return (head + b',"response":' + inner + b',"body":' + body + b'},"error":null}').decode()


def unanswered_document(line_id: str, custom_id: str, code: str, message: str) -> str:
    """Return the line of the error file for a request that wasn't run."""
    error = {"code": code, "message": message}
    return orjson.dumps({"id": line_id, "custom_id": custom_id, "response": None, "error": error}).decode()
