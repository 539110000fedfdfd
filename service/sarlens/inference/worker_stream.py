"""A worker's stream of completion chunks, in whole events."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from sarlens.errors import Timeout, WorkerFailed
from sarlens.inference.worker_error import WorkerReportedError, error_of_body, reported_error
from sarlens.observability import tracing
from sarlens.observability.tracing import Span
from sarlens.workers.clients.base import WorkerResponse
from sarlens.workers.event_stream import EventSplitter, StreamEvent
from sarlens.workers.worker import Worker

_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|"usage"\s*:\s*null\s*,\s*')


class CompletionChunk(NamedTuple):
    """One event of a stream."""

    raw: bytes
    """The bytes of the worker."""
    document: dict[str, Any] | None
    """Parsed data; None for comments and for the end."""
    tokens: int = 0
    """1 if the event has a part of the answer, else 0."""
    is_end: bool = False
    """Whether the event is ``[DONE]``."""

    @property
    def has_data(self) -> bool:
        """Whether the event is none of comments."""
        return self.document is not None or self.is_end


Deliver = Callable[[list[CompletionChunk]], bool]
PassOn = Callable[[bytes, int], bool]


class StreamedResponse:
    """A stream of chunks; reports its outcome to the circuit breaker when it ends."""

    __slots__ = ("_ended", "_error", "_first", "_response", "_span", "_splitter", "_unread", "_worker", "adds_usage")

    def __init__(self, response: WorkerResponse, worker: Worker, span: Span) -> None:
        """Parse the first event.

        Raises:
            WorkerReportedError: the stream begins with an error.
            WorkerFailed: the stream has no event, or its first one isn't JSON.
        """
        self._response = response
        self._worker = worker
        self._span = span
        self._splitter = EventSplitter()
        self._ended = False
        self._error: WorkerFailed | None = None
        self.adds_usage = False
        """Whether the gateway, and not the caller, requested the usage."""
        data = response.first_chunk
        found = data.find(b"\n\n") if data[:7] == b"data: {" else -1
        first_end = len(data) if found < 0 else found + 2
        self._unread = data[first_end:]
        events = self._splitter.feed(data[:first_end])
        if all(event.data is None for event in events):
            events += self._splitter.flush()  # the stream ended without a blank line
        self._first: list[CompletionChunk] | None = self._parse_until_error(events)
        if not any(chunk.has_data for chunk in self._first):
            raise self._error or WorkerFailed("The worker ended the stream before its first event.")

    async def forward(self, deliver: Deliver, pass_on: PassOn | None = None) -> bool:
        """Pass the events on as they arrive, until the end, or until a function returns False.

        The event loop may call the functions when bytes arrive, so they must not block.

        Args:
            deliver: gets the events that one read completes.
            pass_on: gets the bytes and the number of events with a part of the answer, in place of ``deliver``. Only
                the first events, and those with an error or the usage, are parsed then.

        Returns:
            Whether the stream isn't at its end, so that you must call this again.

        Raises:
            WorkerReportedError: an event is an error.
            WorkerFailed: the worker closed the connection before ``[DONE]``, or an event isn't JSON.
            Timeout: the worker sent nothing for too long.
        """
        try:
            if await self._forward(deliver, pass_on):
                return True
        except (WorkerFailed, Timeout) as error:
            if not self._ended:
                tracing.record_error(self._span, error)
                self._worker.record_outcome(error)
                raise
        self._worker.record_outcome(None)
        return False

    async def _forward(self, deliver: Deliver, pass_on: PassOn | None) -> bool:
        stopped = False

        def receive(data: bytes) -> bool:
            nonlocal stopped
            count, end = (0, 0) if pass_on is None else self._splitter.skim(data)
            if count and pass_on is not None and not pass_on(data[:end], count):
                stopped = True
            if end < len(data):
                chunks = self._parse_until_error(self._splitter.feed(data[end:]))
                if chunks and not deliver(chunks):
                    stopped = True
            return not stopped and self._error is None

        if self._first is not None:
            first, self._first = self._first, None
            stopped = not deliver(first)
            receive(self._unread)
            if stopped:
                return True
        self._raise_error()
        more = await self._response.forward(receive)
        if more or stopped:
            return True
        return self._deliver_rest(deliver)

    def _deliver_rest(self, deliver: Deliver) -> bool:
        """Pass on an event without a blank line at the end of the stream; return whether ``deliver`` stops before."""
        self._raise_error()
        chunks = self._parse_until_error(self._splitter.flush())
        if chunks and not deliver(chunks):
            return True
        self._raise_error(at_end=True)
        return False

    def _parse_until_error(self, events: Sequence[StreamEvent]) -> list[CompletionChunk]:
        """Parse events up to the first one that is an error, which is kept for ``_raise_error``."""
        chunks: list[CompletionChunk] = []
        try:
            for event in events:
                chunk = _parse(event)
                self._ended = self._ended or chunk.is_end
                chunks.append(chunk)
        except WorkerFailed as error:
            self._error = error
        return chunks

    def _raise_error(self, *, at_end: bool = False) -> None:
        if self._error is not None:
            raise self._error
        if at_end and not self._ended:
            raise WorkerFailed("The worker ended the stream before the answer was complete.")


def join_chunks(chunks: Sequence[CompletionChunk], *, without_usage: bool) -> bytes:
    """Return the bytes of events, as the worker sent them; without the usage if the caller didn't request it."""
    if without_usage:
        return b"".join([_without_usage(chunk) for chunk in chunks])
    return chunks[0].raw if len(chunks) == 1 else b"".join([chunk.raw for chunk in chunks])


def _without_usage(chunk: CompletionChunk) -> bytes:
    document = chunk.document
    if document is None or "usage" not in document:
        return chunk.raw
    if document["usage"] is None:
        return _NO_USAGE.sub(b"", chunk.raw, count=1)
    if not document.get("choices"):
        return b""
    rest = {name: value for name, value in document.items() if name != "usage"}
    return b"data: " + orjson.dumps(rest) + b"\n\n"


def _parse(event: StreamEvent) -> CompletionChunk:
    """Parse one event.

    Raises:
        WorkerReportedError: the event is an error.
        WorkerFailed: the data isn't a JSON object.
    """
    data = event.data
    if data is None:
        return CompletionChunk(event.raw, None)
    if data == b"[DONE]" or data.strip() == b"[DONE]":
        return CompletionChunk(event.raw, None, is_end=True)
    if event.name == b"error":
        raise WorkerReportedError(error_of_body(502, data))
    document = parse_object(data)
    if ("error" in document or "choices" not in document) and (error := reported_error(document)):
        raise WorkerReportedError(error)
    return CompletionChunk(event.raw, document, tokens=_has_token(document))


def _has_token(document: dict[str, Any]) -> bool:
    """Return whether an event has a part of the answer, and not only the role or the usage."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        return False
    delta = choices[0].get("delta") if isinstance(choices[0], dict) else None
    return not isinstance(delta, dict) or "role" not in delta or any(delta[name] for name in delta if name != "role")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        WorkerFailed: the body isn't one.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise WorkerFailed("The worker's response isn't a JSON object.")
    return document
