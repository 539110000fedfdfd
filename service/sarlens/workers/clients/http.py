"""A client of workers that serve the OpenAI API over HTTP, such as vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sarlens.errors import WorkerFailed
from sarlens.json_input import Document
from sarlens.workers.clients.base import HealthCheck, WorkerStatus
from sarlens.workers.clients.http1.endpoint import format_fields
from sarlens.workers.clients.http1.pool import HttpConnections
from sarlens.workers.clients.http1.response import Response
from sarlens.workers.clients.http_probe import HttpProbe
from sarlens.workers.event_stream import MAX_EVENT_BYTES, EventSplitter


class WorkerTimeouts(NamedTuple):
    """Timeouts of requests to a worker, in seconds."""

    first_token_timeout_s: float
    """Maximum time until the first event of a stream."""
    stream_idle_timeout_s: float
    """Maximum time between two chunks of a stream."""
    response_timeout_s: float
    """Maximum time until a response without streaming is complete."""


class OpenAIHttpClient:
    """A client of one worker at an HTTP base URL."""

    supports_image_ids = True
    supports_batches = True

    def __init__(
        self,
        url: str,
        connections: HttpConnections,
        timeouts: WorkerTimeouts,
        *,
        max_response_bytes: int,
        api_key: str | None = None,
        health_check: HealthCheck = HealthCheck(),  # noqa: B008  immutable
    ) -> None:
        """Raises ValueError if the API key has control characters."""
        self.url = url
        self._timeouts = timeouts
        self._max_response_bytes = max_response_bytes
        fields = {"Content-Type": "application/json"}
        if api_key:
            fields["Authorization"] = f"Bearer {api_key}"
        self._pool = connections.pool(url, fields)
        self._probe = HttpProbe(self._pool, health_check)

    async def send(
        self, path: str, body: Document, request_id: str, trace: Mapping[str, str], *, stream: bool
    ) -> Response:
        """Post a request; return when the first event of a stream, or the complete body, has arrived."""
        timeouts = self._timeouts
        fields = format_fields(trace.items()) if trace else b""
        fields += b"X-Request-Id: %b\r\nContent-Length: %d\r\n\r\n" % (request_id.encode("ascii"), len(body))
        response = await self._pool.request(
            self._pool.endpoint.head("POST", path) + fields,
            body,
            timeout_s=timeouts.first_token_timeout_s if stream else timeouts.response_timeout_s,
            max_bytes=self._max_response_bytes,
            idle_timeout_s=timeouts.stream_idle_timeout_s,
        )
        try:
            response.first_chunk = await _first_event(response) if response.is_stream else response.take()
        except BaseException:
            response.close()
            raise
        return response

    async def probe(self) -> WorkerStatus:
        """Check the worker's health, and return its models and its load."""
        return await self._probe.run()

    async def read_load(self) -> float | None:
        """Return the requests of all clients that run or wait, or None if the worker doesn't say."""
        return await self._probe.read_load()


async def _first_event(response: Response) -> bytes:
    """Read a stream until an event with data is complete; comments and blank lines may precede it.

    Raises:
        WorkerFailed: the worker sent nothing, or too much before its first event.
    """
    chunk = response.take()
    if chunk[:7] == b"data: {" and b"\n\n" in chunk:
        response.hold()
        return chunk
    splitter, parts, size = EventSplitter(), list[bytes](), 0
    while chunk:
        parts.append(chunk)
        if any(event.data is not None for event in splitter.feed(chunk)):
            break
        size += len(chunk)
        if size > MAX_EVENT_BYTES:
            raise WorkerFailed(f"The worker sent more than {MAX_EVENT_BYTES} bytes before its first event.")
        await response.wait()
        chunk = response.take()
    if not parts:
        raise WorkerFailed("The worker closed the connection without a response.")
    response.hold()
    return b"".join(parts)
