"""The memory budget for request bodies."""

from __future__ import annotations

import pytest

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.errors import Overloaded
from sarlens.observability.metrics import Metrics


def test_reserved_bytes_are_released() -> None:
    """Bodies above the budget of 100 bytes are rejected, and each reservation is released, also after an error."""
    metrics = Metrics()
    budget = BodyMemoryBudget(100, 100, metrics)
    with budget.reserve("a") as first:
        first.extend_to(60)
        first.extend_to(40)
        assert budget.reserved_bytes == 60
        with pytest.raises(Overloaded, match="other requests"), budget.reserve("b") as second:
            second.extend_to(41)
        with budget.reserve("b") as third:
            third.extend_to(40)
            assert budget.reserved_bytes == 100
    assert budget.reserved_bytes == 0
    assert rejections(metrics) == (1, 0)


def test_each_client_has_a_share() -> None:
    """Of 100 bytes, one client uses at most 60 over all of its requests, and others can use the rest."""
    metrics = Metrics()
    budget = BodyMemoryBudget(100, 60, metrics)
    for _ in range(2):  # all bytes of a client are released
        with budget.reserve("a") as first, budget.reserve("a") as second, budget.reserve("b") as other:
            first.extend_to(50)
            second.extend_to(10)
            with pytest.raises(Overloaded, match="your other requests"):
                second.extend_to(11)
            other.extend_to(40)
            assert budget.reserved_bytes == 100
        assert budget.reserved_bytes == 0
    assert rejections(metrics) == (0, 2)


def rejections(metrics: Metrics) -> tuple[float | None, ...]:
    """Number of rejected requests, by the budget of all clients and of one."""
    name = "sarlens_shed_requests_total"
    return tuple(metrics.registry.get_sample_value(name, {"reason": r}) for r in ("memory", "client_memory"))
