"""Structured logs: one JSON object a line, or aligned text on a terminal."""

from __future__ import annotations

import logging
import random
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from sarlens import tracing

log = structlog.get_logger(__name__)


def configure_logging(level: str) -> None:
    """Send every log line of this process to stderr, at ``level`` and above; libraries' from warnings on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    head: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    # Tracebacks without local variables: those hold prompts, images and keys.
    lines: list[Processor]
    if sys.stderr.isatty():
        lines = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        lines = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*head, *lines],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*head, structlog.stdlib.add_logger_name],
            processors=[ProcessorFormatter.remove_processors_meta, *lines],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The ids of the trace that a line belongs to, where it is recorded."""
    event.update(tracing.here().ids)
    return event


@dataclass(slots=True)
class Record:
    """What is known of the request under way."""

    model: str | None = None
    workers: set[str] = field(default_factory=set)
    code: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


_under_way: ContextVar[Record | None] = ContextVar("sarlens_record", default=None)


def keep_record(record: Record | None) -> None:
    """Note down in ``record`` what is done for the request that this task works on; None: nowhere."""
    _under_way.set(record)


def note_model(model: str) -> None:
    """The model, one that is served, was asked."""
    if record := _under_way.get():
        record.model = model


def note_worker(url: str) -> None:
    """The worker answered."""
    if record := _under_way.get():
        record.workers.add(url)


def note_error(code: str) -> None:
    """The caller was told of an error."""
    if record := _under_way.get():
        record.code = code


def note_tokens(prompt: int, completion: int) -> None:
    """Tokens were read and written."""
    if record := _under_way.get():
        record.prompt_tokens += prompt
        record.completion_tokens += completion


class AccessLog:
    """One line for a request when it is over: for every one that failed, and for a ``share`` of the others.

    It never holds what a caller wrote, but for the request's id; None logs nothing.
    """

    def __init__(self, share: float | None) -> None:
        self.share = share

    def write(self, record: Record, *, failed: bool, **known: Any) -> None:
        """Log the request, or not."""
        if self.share is None or not (failed or random.random() < self.share):  # noqa: S311  nothing secret
            return
        told = {
            "model": record.model,
            "worker": ",".join(sorted(record.workers)),
            "code": record.code,
            "prompt_tokens": record.prompt_tokens,
            "completion_tokens": record.completion_tokens,
        }
        log.info("request", **known, **{name: value for name, value in told.items() if value})
