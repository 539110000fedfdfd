"""Traces: a span for each request and each of its stages, and W3C context in and out.

Where a request stands in its trace is kept in a context variable, so that a room opens a span without being handed a
tracer. As long as tracing is off a span costs a look at that variable, and the context that a caller sent goes on to
the worker as it came. ``otlp.py`` holds the spans that are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]
Headers = Iterable[tuple[bytes, bytes]]

_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?")
_STATE = re.compile(rb"[ -~\t]{1,512}")
NO_HEADERS: Mapping[str, str] = {}


class Span:
    """A stretch of time in a trace. This one is in none, and records nothing."""

    __slots__ = ()
    recording = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the trace on to whoever is asked next."""
        return NO_HEADERS

    @property
    def ids(self) -> dict[str, str]:
        """``trace_id`` and ``span_id`` in hexadecimal, where they are recorded."""
        return {}

    def child(self, name: str, *, begun: float | None = None, asks: bool = False) -> Span:
        """A span below this one.

        ``begun`` is what ``perf_counter`` said when it began, if that was not now; ``asks`` says that it waits for
        another server.
        """
        return self

    def rename(self, name: str) -> None:
        """Give it its name when that is known."""

    def set(self, attributes: Attributes) -> None:
        """Say more about it. Never what a caller wrote: prompts, queries of URLs, keys."""

    def fail(self, error: BaseException) -> None:
        """Say that it failed, and of what kind of error; not in which words, which may quote a caller."""

    def end(self) -> None:
        """It is over. Leaving its context says so too."""

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


_NONE = Span()
_here: ContextVar[Span] = ContextVar("sarlens_span", default=_NONE)


class Place(Span):
    """A span that is the current one for as long as its context lasts."""

    __slots__ = ("_before",)

    def __enter__(self) -> Span:
        self._before = _here.get()
        _here.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Not by a token: a stream may be closed in another context than the one that it was opened in.
        _here.set(self._before)


class Passing(Place):
    """A place in a trace that is recorded elsewhere, if it is."""

    __slots__ = ("_along",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._along = Along(headers) if headers else _NONE

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the trace on."""
        return self._along.headers

    def child(self, name: str, *, begun: float | None = None, asks: bool = False) -> Span:
        """What carries the trace on, and records nothing."""
        return self._along


class Along(Span):
    """Records nothing, and carries a trace on."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the trace on."""
        return self._headers


def here() -> Span:
    """The current span."""
    return _here.get()


def span(name: str) -> Span:
    """A span below the current one, for a ``with`` statement."""
    return _here.get().child(name)


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, name: str, headers: Headers = (), *, serves: bool = False) -> Span:
        """The first span of some work; ``serves`` says that a caller waits for it, whose trace its headers name."""


class Untraced:
    """Records nothing, and passes on the context that a caller sent."""

    def begin(self, name: str, headers: Headers = (), *, serves: bool = False) -> Span:
        """The place of a request in its caller's trace."""
        return Passing(incoming(headers))


def incoming(headers: Headers) -> Mapping[str, str]:
    """The ``traceparent`` and ``tracestate`` of a request, unless they are malformed."""
    parent: bytes | None = None
    state: list[bytes] = []
    for name, value in headers:
        if name == b"traceparent":
            parent = value
        elif name == b"tracestate":
            state.append(value)
    if parent is None or not _PARENT.fullmatch(parent):
        return NO_HEADERS
    found = {"traceparent": parent.decode()}
    if _STATE.fullmatch(joined := b",".join(state)):
        found["tracestate"] = joined.decode()
    return found
