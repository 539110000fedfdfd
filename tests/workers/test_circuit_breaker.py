"""The circuit breaker, on a manual clock."""

from __future__ import annotations

from sarlens.workers.circuit_breaker import CircuitBreaker


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def test_consecutive_failures_open_the_breaker_and_a_success_closes_it() -> None:
    """Three consecutive failures open the breaker; a success in between resets the count."""
    breaker = CircuitBreaker(3, 5, Clock())
    for _ in range(2):
        breaker.on_failure()
        assert breaker.is_closed
    breaker.on_success()
    for _ in range(2):
        breaker.on_failure()
    assert not breaker.is_open
    breaker.on_failure()
    assert breaker.is_open
    breaker.on_success()
    assert (breaker.is_open, breaker.is_closed) == (False, True)


def test_one_trial_request_passes_after_the_reset_timeout() -> None:
    """After the reset timeout of 5 s one trial request passes; a failed trial keeps the breaker open for 5 s more."""
    clock = Clock()
    breaker = CircuitBreaker(1, 5, clock)
    breaker.on_failure()
    clock.now = 4.9
    assert breaker.is_open
    clock.now = 5.0
    assert not breaker.is_open
    breaker.on_attempt()
    assert breaker.is_open
    breaker.on_failure()
    clock.now = 9.9
    assert breaker.is_open
    clock.now = 10.0
    assert not breaker.is_open
