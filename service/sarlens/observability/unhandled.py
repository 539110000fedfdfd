"""Exceptions that no code can handle, as lines of the structured log.

Extension modules report an exception in a callback to the interpreter, which prints its traceback to stderr. GDAL's
messages about a damaged file reach such a callback of rasterio, so that a caller's file could break and fill the log.
"""

from __future__ import annotations

import sys
import threading
from threading import Lock
from time import monotonic
from types import TracebackType

import structlog

log = structlog.get_logger(__name__)

INTERVAL_S = 60.0
"""Minimum time between two lines about one type of exception, in seconds."""
_MAX_TYPES = 64


def log_unhandled_exceptions() -> None:
    """Log exceptions of callbacks, destructors and threads in place of printing them.

    A line has the type and the place of the exception, and no message, since that may quote a file. Each type has at
    most one line a minute, with the number of exceptions since the last line.
    """
    lines = _Lines()
    sys.unraisablehook = lambda args: lines.write(args.exc_type, args.exc_traceback)
    threading.excepthook = lambda args: lines.write(args.exc_type, args.exc_traceback)

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if threading.current_thread() is threading.main_thread():
            sys.__excepthook__(kind, error, traceback)  # the process ends with this exception
        else:
            lines.write(kind, traceback)

    sys.excepthook = excepthook  # Cython reports to it, and then to unraisablehook


class _Lines:
    """Log lines, at most one per type of exception and interval."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next_at: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def write(self, kind: type[BaseException], traceback: TracebackType | None) -> None:
        """Count an exception, and log the count if the last line is old enough."""
        name, now = kind.__name__, monotonic()
        with self._lock:
            if name not in self._counts and len(self._counts) >= _MAX_TYPES:
                return
            self._counts[name] = self._counts.get(name, 0) + 1
            if now < self._next_at.get(name, now):
                return
            self._next_at[name] = now + INTERVAL_S
            count, self._counts[name] = self._counts[name], 0
        log.error("unhandled exception", exception=name, place=_place(traceback), count=count)


def _place(traceback: TracebackType | None) -> str:
    """The innermost frame, as ``file:line``."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback else ""
