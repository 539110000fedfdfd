"""Structured logs: one JSON object a line, or aligned text on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(level: str) -> None:
    """Send every log line of this process to stderr, at ``level`` and above."""
    number = logging.getLevelNamesMapping()[level.upper()]
    # Tracebacks without local variables: those hold prompts, images and keys.
    lines: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        lines = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        lines = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *lines,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
