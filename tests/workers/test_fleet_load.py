"""The load of workers that serve several gateways."""

from __future__ import annotations

import math

import pytest

from queue_model import percentile
from replica_load import Fleet, waits
from sarlens.workers.fleet_load import estimate_others
from sarlens.workers.load import WorkerLoad


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def two_loads(clock: Clock, *reports: float | None) -> list[WorkerLoad]:
    """Return loads of idle workers with these reports, whose requests take 10 s."""
    loads = []
    for report in reports:
        load = WorkerLoad(clock)
        load.mean_duration_s = 10.0
        load.record_report(report)
        loads.append(load)
    return loads


def test_reports_fade_to_their_mean() -> None:
    """Reports of 6 and 2 requests of others are 6 and 2 at once, 4.74 and 3.26 after 10 s, and 4 each in the end."""
    clock = Clock()
    loads = two_loads(clock, 6.0, 2.0)
    for now, expected in ((0.0, [6.0, 2.0]), (10.0, [4.74, 3.26]), (1000.0, [4.0, 4.0])):
        estimate_others(loads, now)
        assert [load.total for load in loads] == pytest.approx(expected, abs=0.01)


def test_requests_since_the_report_stand_for_those_of_other_gateways() -> None:
    """With 8 requests of others and one own request, each further request counts for 4 of other gateways."""
    clock = Clock()
    loads = two_loads(clock, 0.0, 0.0)
    loads[0].start(0)
    for load, requests in zip(loads, (5.0, 4.0), strict=True):
        load.record_report(requests)
    estimate_others(loads, 0.0)
    assert [load.total for load in loads] == [5.0, 4.0]
    loads[1].start(0)
    assert [load.total for load in loads] == [5.0, 9.0]


def test_without_reports_the_load_is_the_own() -> None:
    """Workers without reports count own requests only; one without next to one with a report gets the mean."""
    clock = Clock()
    loads = two_loads(clock, None, None)
    loads[0].start(0)
    estimate_others(loads, 0.0)
    assert [load.total for load in loads] == [1.0, 0.0]
    loads[1].record_report(3.0)
    estimate_others(loads, 0.0)
    assert [load.total for load in loads] == [4.0, 3.0]
    loads[1].record_report(None)
    estimate_others(loads, 0.0)
    assert [load.total for load in loads] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("requests_of_others", "duration_s", "workers", "expected"),
    [
        (8.0, 10.0, 2, 5.0),
        (8.0, 0.1, 2, 0.18),
        (1000.0, 0.1, 2, 2.02),
        (1.0, 0.1, 40, 0.2),
        (0.2, 0.1, 2, math.inf),
    ],
)
def test_reports_are_renewed_within_half_a_request(
    requests_of_others: float, duration_s: float, workers: int, expected: float
) -> None:
    """Loads are read twice per request, 50 times a second by all gateways and 200 times by one, and not if alone."""
    clock = Clock()
    loads = two_loads(clock, *[requests_of_others / workers] * workers)
    for load in loads:
        load.mean_duration_s = duration_s
    estimate_others(loads, 0.0)
    assert [load.report_interval_s for load in loads] == pytest.approx([expected] * workers)


def test_short_requests_behind_sixteen_gateways_wait_at_most_twice_as_long() -> None:
    """The 99th percentile behind 16 gateways is within 2 x of one gateway if requests are shorter than probes."""
    fleet = Fleet(workers=8, slots=4, duration_s=0.3, utilization=0.85)
    one, many = (waits(fleet, gateways, 12_000, reads_load=gateways > 1) for gateways in (1, 16))
    assert percentile(many, 0.99) < 2 * percentile(one, 0.99)


def test_the_wait_behind_sixteen_gateways_is_at_most_twice_that_behind_one() -> None:
    """The mean and the 99th percentile of the wait behind 16 gateways are within 2 x of one gateway.

    Without reports, the mean is at least five times as long. Requests take 10 s, and workers report every 2 s.
    """
    fleet = Fleet(workers=12, slots=1, duration_s=10.0, utilization=0.8)
    one = waits(fleet, 1, 3000, reads_load=False)
    own, known = (waits(fleet, 16, 3000, reads_load=reads_load) for reads_load in (False, True))
    assert sum(own) > 5 * sum(one)
    assert sum(known) < 2 * sum(one)
    assert percentile(known, 0.99) < 2 * percentile(one, 0.99)
    assert percentile(known, 0.5) == 0.0
