"""Log lines about rejected requests, at a bounded rate."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_LINES_PER_S = 5.0
_BURST = 20.0


class RefusalLog:
    """Logs requests that the gateway rejects because of the request: five lines a second, and 20 at once.

    A line has no text that a client wrote, except for the request id. Its ``suppressed`` is the number of rejected
    requests without a line since the last one.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lines = _BURST
        self._filled_at = clock()
        self._suppressed = 0

    def write(self, error: type[Exception], **fields: Any) -> None:
        """Log a request that an error ended, with the sentence that describes errors of its kind."""
        now = self._clock()
        self._lines = min(_BURST, self._lines + (now - self._filled_at) * _LINES_PER_S)
        self._filled_at = now
        if self._lines < 1:
            self._suppressed += 1
            return
        self._lines -= 1
        details = {**fields, "suppressed": self._suppressed}
        reason = (error.__doc__ or "").partition("\n")[0]
        log.info("request rejected", reason=reason, **{name: value for name, value in details.items() if value})
        self._suppressed = 0
