"""The retry budget, on a manual clock."""

from __future__ import annotations

from sarlens.workers.retry_budget import RetryBudget


def test_retries_are_a_ratio_of_the_requests() -> None:
    """Beyond the balance of three, five requests allow one retry, and each second allows ten."""
    now = 0.0
    budget = RetryBudget(0.2, 3, 10, lambda: now)
    assert [budget.try_spend() for _ in range(4)] == [True, True, True, False]
    for _ in range(5):
        budget.on_request()
    assert [budget.try_spend(), budget.try_spend()] == [True, False]
    now = 0.1
    assert [budget.try_spend(), budget.try_spend()] == [True, False]
    now = 100.0
    assert [budget.try_spend() for _ in range(4)] == [True, True, True, False]


def test_the_balance_is_bounded() -> None:
    """A thousand requests don't add more than the maximum balance of two."""
    budget = RetryBudget(1.0, 2, 0.0, lambda: 0.0)
    for _ in range(1000):
        budget.on_request()
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]


def test_a_second_allows_ten_retries() -> None:
    """Without requests, a second adds ten retries to an empty balance if nothing else is set."""
    now = 0.0
    budget = RetryBudget(0.0, 20, clock=lambda: now)
    assert sum(budget.try_spend() for _ in range(21)) == 20
    now = 1.0
    assert sum(budget.try_spend() for _ in range(21)) == 10
