"""Structured logs: one JSON object per line, or aligned text on a terminal."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from sarlens.observability import tracing
from sarlens.observability.caller import current_key
from sarlens.observability.unhandled import log_unhandled_exceptions

log = structlog.get_logger(__name__)


def configure_logging(level: str) -> None:
    """Write log lines of ``level`` and above to stderr, and those of libraries from warnings on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    head: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    # Tracebacks have no local variables, since these hold prompts, images and keys.
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
    log_unhandled_exceptions()


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, if it is recorded."""
    event.update(tracing.current_ids())
    return event


@dataclass(slots=True)
class AccessRecord:
    """Facts about the current request, for its access log line and its span."""

    model: str | None = None
    workers: set[str] = field(default_factory=set)
    code: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: list[str] = field(default_factory=list)
    """Ids of the first images."""


_MAX_IMAGES = 4

_current_record: ContextVar[AccessRecord | None] = ContextVar("sarlens_record", default=None)


def bind_access_record(record: AccessRecord | None) -> None:
    """Collect facts about the current task's request in ``record``; None collects nothing."""
    _current_record.set(record)


def record_model(model: str) -> None:
    """Note the model of the request. It must be one that a worker serves."""
    if record := _current_record.get():
        record.model = model


def current_model() -> str | None:
    """Return the model of the request, if it is known and the request is logged or traced."""
    record = _current_record.get()
    return None if record is None else record.model


def record_worker(name: str) -> None:
    """Note a worker that responded."""
    if record := _current_record.get():
        record.workers.add(name)


def record_images(ids: Iterable[str]) -> None:
    """Note the ids of images of the request, at most four."""
    if record := _current_record.get():
        record.images += [image_id for image_id in ids if image_id not in record.images]
        del record.images[_MAX_IMAGES:]


def record_error(code: str) -> None:
    """Note the code of the error that the client receives."""
    if record := _current_record.get():
        record.code = code


def record_tokens(prompt: int, completion: int) -> None:
    """Add prompt and completion tokens."""
    if record := _current_record.get():
        record.prompt_tokens += prompt
        record.completion_tokens += completion


class AccessLog:
    """Logs one line per completed request: for every failed one, and for the ratio ``sample_ratio`` of the others.

    A ratio of None logs nothing. A line never has text that a client wrote, except for the request id.
    """

    def __init__(self, sample_ratio: float | None) -> None:
        self.sample_ratio = sample_ratio

    def write(self, record: AccessRecord, *, failed: bool, **fields: Any) -> None:
        """Log a request if it failed or is sampled."""
        if self.sample_ratio is None or not (failed or random.random() < self.sample_ratio):  # noqa: S311  nothing secret
            return
        details = {
            "key": current_key(),
            "model": record.model,
            "worker": ",".join(sorted(record.workers)),
            "code": record.code,
            "prompt_tokens": record.prompt_tokens,
            "completion_tokens": record.completion_tokens,
            "images": ",".join(record.images),
        }
        log.info("request", **fields, **{name: value for name, value in details.items() if value})
