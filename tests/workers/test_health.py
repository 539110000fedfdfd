"""The health of a worker."""

from __future__ import annotations

import pytest

from sarlens.workers.health import Health, HealthThresholds

EVENTS = {
    "+": Health.on_success,
    "-": Health.on_failure,
    "t": Health.on_timeout,
    "r": Health.on_response,
    "x": Health.on_refused,
    "!": Health.on_unreachable,
}


def readiness(events: str, thresholds: HealthThresholds | None = None) -> str:
    """Return for each event whether the worker is ready after it: 1 or 0."""
    health, states = Health(thresholds or HealthThresholds()), []
    for event in events:
        EVENTS[event](health)
        states.append(str(int(health.ready)))
    return "".join(states)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("+", "1"),
        ("--+", "001"),
        ("+--+--+", "1111111"),
        ("+---", "1110"),
        ("+---+", "11100"),
        ("+---++", "111001"),
        ("+---+-++", "11100001"),
        ("+ttt", "1110"),
        ("+rtrtrtrt", "111111111"),
        ("+r-r-r-", "1111110"),
        ("+rtttt", "111110"),
        ("+!", "10"),
        ("+!+", "101"),
        ("+!r", "100"),
        ("+xx+", "1111"),
        ("+xxx+", "11101"),
    ],
)
def test_consecutive_results_decide(events: str, expected: str) -> None:
    """Three failures in a row take a worker out, and two successes bring it back; a new process needs one.

    A check without an answer doesn't count if the worker answered a request since the last one.
    """
    assert readiness(events) == expected


def test_thresholds_are_settable() -> None:
    """With thresholds of 1 and 3, one failure takes a worker out, and three successes bring it back."""
    assert readiness("+-+++", HealthThresholds(1, 3)) == "10001"
