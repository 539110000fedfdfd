"""Breakers and the budget of retries, on a clock that the test turns."""

from __future__ import annotations

from sarlens.workers.breaker import Breaker, RetryBudget


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_failures_in_a_row_open_it_and_a_success_closes_it() -> None:
    """Three failures open a breaker; one success in between begins the count anew."""
    breaker = Breaker(3, 5, Clock())
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert not breaker.open
    breaker.failed()
    assert breaker.open
    breaker.succeeded()
    assert not breaker.open


def test_after_the_pause_one_request_tries() -> None:
    """When the pause is over the breaker lets one request through, and no other until that one has told."""
    clock = Clock()
    breaker = Breaker(1, 5, clock)
    breaker.failed()
    clock.now = 5.0
    assert not breaker.open
    breaker.trying()
    assert breaker.open
    breaker.failed()
    clock.now = 9.0
    assert breaker.open
    clock.now = 10.0
    assert not breaker.open


def test_retries_are_a_share_of_requests() -> None:
    """Beyond the reserve, five requests earn one retry, and each second its own ten."""
    clock = Clock()
    budget = RetryBudget(0.2, 3, 10, clock)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    for _ in range(5):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
    clock.now = 0.1
    assert [budget.spend(), budget.spend()] == [True, False]
    clock.now = 100.0
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
