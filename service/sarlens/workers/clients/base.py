"""Protocols of worker clients and their responses, independent of the wire protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from sarlens.errors import WorkerFailed
from sarlens.json_input import Document

EVENT_STREAM = "text/event-stream"


class StaleConnection(WorkerFailed):
    """The worker closed a reused connection without a byte of a response; it probably never read the request."""


class WorkerResponse(Protocol):
    """A response that has begun: a complete body, or a stream whose first chunk has arrived."""

    @property
    def status(self) -> int:
        """HTTP status code."""

    @property
    def content_type(self) -> str:
        """Media type without parameters, in lower case; empty if the worker states none."""

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of the header ``Retry-After``, if the worker sent it."""

    @property
    def is_stream(self) -> bool:
        """Whether the response is a stream of server-sent events."""

    @property
    def first_chunk(self) -> bytes:
        """The beginning of a stream with at least one whole event, or the complete body; errors may be cut short."""

    async def forward(self, write: Callable[[bytes], bool]) -> bool:
        """Pass the body after ``first_chunk`` to ``write`` as it arrives.

        This ends with the body, or when ``write`` returns False. The event loop may call ``write`` when bytes arrive,
        so it must not block.

        Returns:
            Whether there may be more, so that you can call this again.

        Raises:
            WorkerFailed: the worker closed the connection early.
            Timeout: the worker sent nothing for too long.
        """

    def close(self) -> None:
        """Close the response; before its end, this aborts the generation."""


class HealthCheck(NamedTuple):
    """Requests that check the health of a worker."""

    path: str = "/health"
    """Path of the health check of a worker that serves HTTP."""
    timeout_s: float = 2.0
    """Maximum time of each request."""
    reads_metrics: bool = True
    """Whether to read the load and the start time of the process from the worker's metrics."""


class WorkerStatus(NamedTuple):
    """The state of a healthy worker."""

    models: dict[str, dict[str, Any]]
    """Cards of the models that it serves now, by model id."""
    load: float | None = None
    """Requests of all its clients that run or wait, if the worker reports them."""
    process_start_time: float | None = None
    """Start of its process in seconds since 1970, if the worker reports it."""


class WorkerClient(Protocol):
    """A client of one worker."""

    @property
    def url(self) -> str:
        """The worker's base URL."""

    @property
    def supports_image_ids(self) -> bool:
        """Whether a request can name a cached image by its id, without its bytes."""

    @property
    def supports_batches(self) -> bool:
        """Whether the worker may have a route that answers several chats in one request."""

    async def send(
        self, path: str, body: Document, request_id: str, trace: Mapping[str, str], *, stream: bool
    ) -> WorkerResponse:
        """Post a request; return when the first event of a stream, or the complete body, has arrived.

        Args:
            path: path of the request, such as ``/v1/chat/completions``.
            body: JSON body.
            request_id: value of the header ``X-Request-Id``.
            trace: headers that propagate the trace context.
            stream: whether the caller requested a stream.

        Raises:
            WorkerUnreachable: the worker doesn't accept connections.
            StaleConnection: the worker closed a reused connection first, and another connection may work.
            WorkerFailed: the worker closed the connection first, or the response is too large.
            Timeout: the response didn't begin in time.
        """

    async def probe(self) -> WorkerStatus:
        """Check the worker's health, and return its models and its load.

        Raises:
            WorkerUnreachable: the worker refuses connections.
            Timeout: the worker didn't answer in time.
            WorkerFailed: the worker is unhealthy.
        """

    async def read_load(self) -> float | None:
        """Return the requests of all its clients that run or wait, or None if the worker doesn't say."""
