"""The health of a worker: consecutive results of health checks decide whether it is ready."""

from __future__ import annotations

from typing import NamedTuple


class HealthThresholds(NamedTuple):
    """Consecutive results of health checks that change the readiness of a worker."""

    failures: int = 3
    """Failures that take a ready worker out."""
    successes: int = 2
    """Successes that bring back a worker that failed."""


class Health:
    """Derives the readiness of a worker from its health checks and from its requests.

    A new worker is ready after its first success. So is one that refused connections, since its process is new.
    """

    def __init__(self, thresholds: HealthThresholds) -> None:
        self.ready = False
        self._thresholds = thresholds
        self._is_new = True
        self._failures = 0
        self._successes = 0
        self._has_responded = False

    def on_response(self) -> None:
        """Record that a request was answered."""
        self._has_responded = True

    def on_success(self) -> None:
        """Record a health check that succeeded."""
        self._failures, self._has_responded = 0, False
        self._successes += 1
        if self._is_new or self._successes >= self._thresholds.successes:
            self.ready, self._is_new = True, False

    def on_failure(self) -> None:
        """Record a health check that failed."""
        self._successes, self._has_responded = 0, False
        self._failures += 1
        if self._failures >= self._thresholds.failures:
            self.ready = False

    def on_timeout(self) -> None:
        """Record a health check without an answer in time; a worker that answers requests is busy, not lost."""
        if self.ready and self._has_responded:
            self._has_responded = False
        else:
            self.on_failure()

    def on_refused(self) -> None:
        """Record a health check that found no process."""
        self.on_failure()
        self._is_new = True

    def on_unreachable(self) -> None:
        """Record a request that couldn't connect: the worker isn't ready until a health check succeeds."""
        self.ready, self._is_new = False, True
        self._failures, self._successes = self._thresholds.failures, 0
