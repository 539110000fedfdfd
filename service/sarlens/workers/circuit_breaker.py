"""A circuit breaker: a worker that keeps failing gets no requests for a while."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

Clock = Callable[[], float]


class CircuitBreaker:
    """Opens after ``failure_threshold`` consecutive failures; then one trial request per ``reset_timeout_s`` passes."""

    def __init__(self, failure_threshold: int, reset_timeout_s: float, clock: Clock = monotonic) -> None:
        self._failure_threshold = failure_threshold
        self._reset_timeout_s = reset_timeout_s
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether other workers are preferred now."""
        return not self.is_closed and self._clock() < self._open_until

    @property
    def is_closed(self) -> bool:
        """Whether the breaker is closed; the first success closes an open breaker."""
        return self._failures < self._failure_threshold

    def on_attempt(self) -> None:
        """Record a request to the worker. While the trial of an open breaker runs, no other request is preferred."""
        if not self.is_closed:
            self._open_until = self._clock() + self._reset_timeout_s

    def on_success(self) -> None:
        """Record a healthy response."""
        self._failures = 0

    def on_failure(self) -> None:
        """Record a failure."""
        self._failures += 1
        self._open_until = self._clock() + self._reset_timeout_s
