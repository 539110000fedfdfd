"""A retry budget: retries are limited to a ratio of the requests."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

Clock = Callable[[], float]


class RetryBudget:
    """Limits retries to a ratio of the requests, so that retries don't double the load of a failing fleet.

    Each request adds ``ratio`` retries to the balance, and each second adds ``per_second``. The balance starts at
    its maximum, ``max_balance``. Finagle's retry budget works the same way.
    """

    def __init__(self, ratio: float, max_balance: int, per_second: float = 10.0, clock: Clock = monotonic) -> None:
        self._ratio = ratio
        self._max_balance = max_balance
        self._per_second = per_second
        self._clock = clock
        self._balance = float(max_balance)
        self._updated_at = clock()

    def on_request(self, requests: int = 1) -> None:
        """Add the share of requests to the balance."""
        self._balance = min(self._max_balance, self._balance + requests * self._ratio)

    def try_spend(self) -> bool:
        """Withdraw one retry; return False if the balance is below 1."""
        now = self._clock()
        self._balance = min(self._max_balance, self._balance + (now - self._updated_at) * self._per_second)
        self._updated_at = now
        if self._balance < 1:
            return False
        self._balance -= 1
        return True
