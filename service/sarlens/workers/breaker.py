"""When to leave a worker alone, and how often a failed request may be tried elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

Clock = Callable[[], float]


class Breaker:
    """Opens after ``failures`` failures in a row; every ``pause_s`` seconds one request then tries the worker."""

    def __init__(self, failures: int, pause_s: float, clock: Clock = monotonic) -> None:
        self._most = failures
        self._pause_s = pause_s
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Whether others should be asked first."""
        return not self.closed and self._clock() < self._until

    @property
    def closed(self) -> bool:
        """Whether nothing speaks against the worker; an open breaker closes with the first success."""
        return self._failures < self._most

    def trying(self) -> None:
        """A request goes to the worker; while an open breaker's trial runs, it stays the only one."""
        if not self.closed:
            self._until = self._clock() + self._pause_s

    def succeeded(self) -> None:
        """The worker answered as a healthy one does."""
        self._failures = 0

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        self._until = self._clock() + self._pause_s


class RetryBudget:
    """Keeps retries a bounded share of requests, so that a failing fleet is not sent twice the load.

    Each request earns ``share`` of a retry, and each second ``per_second``; at most ``reserve`` are saved, which is
    also what there is at the start.
    """

    def __init__(self, share: float, reserve: int, per_second: float = 10.0, clock: Clock = monotonic) -> None:
        self._share = share
        self._reserve = reserve
        self._per_second = per_second
        self._clock = clock
        self._saved = float(reserve)
        self._seen = clock()

    def earn(self) -> None:
        """A request has come."""
        self._saved = min(self._reserve, self._saved + self._share)

    def spend(self) -> bool:
        """Whether one more retry may be made."""
        now = self._clock()
        self._saved = min(self._reserve, self._saved + (now - self._seen) * self._per_second)
        self._seen = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
