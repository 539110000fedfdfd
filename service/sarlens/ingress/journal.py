"""Where every request is written down when it is over: in the metrics, in the access log and in its trace."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

import structlog

from sarlens.errors import SarlensError
from sarlens.log import AccessLog, Record, keep_record, note_error
from sarlens.metrics import Metrics, outcome_of
from sarlens.tracing import Attributes, Headers, Span, Tracer, Untraced

log = structlog.get_logger(__name__)

_UNTRACED = Untraced()


class Journal:
    """Opens an entry for each request."""

    def __init__(self, metrics: Metrics, access: AccessLog, tracer: Tracer) -> None:
        self.metrics = metrics
        self.access = access
        self.tracer = tracer

    def request(self, name: str, headers: Headers, *, traced: bool = True) -> Entry:
        """The entry of a request by its id, open for as long as its context lasts."""
        return Entry(self, name, (self.tracer if traced else _UNTRACED).begin("request", headers, serves=True))


class Entry:
    """One request under way. ``route`` and ``status`` have to be known at its end, or it was broken off.

    ``meant`` is the status of HTTP that says what came of it, also where another protocol, or a stream whose status was
    out already, told something else; ``attributes`` tell of it as its protocol does.
    """

    __slots__ = ("_arrived", "_journal", "_record", "_span", "attributes", "meant", "name", "route", "status")

    def __init__(self, journal: Journal, name: str, span: Span) -> None:
        self._journal = journal
        self.name = name
        self._span = span
        self._record: Record | None = None
        self._arrived = 0.0
        self.route = "other"
        self.status: int | str = 0
        self.meant = 0
        self.attributes: Attributes = {}

    def refused(self, error: SarlensError) -> None:
        """The request ends with an error."""
        self.meant = error.status
        self._journal.metrics.errors.labels(error.code).inc()
        note_error(error.code)
        if error.status >= 500:
            self._span.fail(error)
            log.warning("request refused", request_id=self.name, code=error.code, reason=error.message)

    def __enter__(self) -> Entry:
        self._arrived = perf_counter()
        if self._span.recording or self._journal.access.share is not None:
            self._record = Record()
        keep_record(self._record)
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._close()
        finally:
            self._span.__exit__(kind, error, traceback)
            keep_record(None)

    def _close(self) -> None:
        seconds, metrics = perf_counter() - self._arrived, self._journal.metrics
        if self.status:
            outcome = outcome_of(self.meant)
            metrics.requests.labels(self.route, self.status, outcome).inc()
            metrics.latency.labels(self.route, outcome).observe(seconds)
        if self._record is None:
            return
        known = {"request_id": self.name, "route": self.route, "status": self.status}
        self._journal.access.write(
            self._record, failed=self.meant >= 400 or not self.status, **known, duration_s=round(seconds, 6)
        )
        if self._span.recording:
            self._span.rename(
                f"{self.attributes.get('http.request.method', '')} {self.route}".strip().removeprefix("/")
            )
            self._span.set({**self.attributes, **_told(self._record), "sarlens.request_id": self.name})


def _told(record: Record) -> dict[str, str | int]:
    """What a trace says of a request, by the semantic conventions."""
    told = {
        "gen_ai.request.model": record.model,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "error.type": record.code,
    }
    return {name: value for name, value in told.items() if value}
