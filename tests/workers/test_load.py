"""The load of one worker."""

from __future__ import annotations

import pytest

from sarlens.workers.load import WorkerLoad
from sarlens.workers.prefill_cost import PIXELS_PER_IMAGE


def test_load_counts_requests_and_work_to_prefill() -> None:
    """A request counts 1, plus its images until they are prefilled; an idle worker has load 0."""
    load = WorkerLoad()
    first, second = load.start(2 * PIXELS_PER_IMAGE), load.start(0)
    assert (load.own, load.total, load.in_flight) == (15.0, 15.0, 2)
    load.mark_prefilled(2 * PIXELS_PER_IMAGE)
    assert load.own == 2.0
    load.finish(first)
    load.finish(second)
    assert (load.own, load.in_flight) == (0.0, 0)


def test_the_mean_duration_follows_the_last_requests() -> None:
    """The first request sets the mean; then each of 64 requests moves it by a 64th of the difference."""
    now = [0.0]
    load = WorkerLoad(lambda: now[0])
    started_at = load.start(0)
    now[0] = 4.0
    load.finish(started_at)
    assert load.mean_duration_s == 4.0
    load.finish(load.start(0))
    assert load.mean_duration_s == pytest.approx(3.9375)


def test_a_report_leaves_out_own_requests() -> None:
    """Of seven reported requests, two are this gateway's and five those of others; a late report is never negative."""
    load = WorkerLoad()
    load.start(0)
    load.start(0)
    load.record_report(7.0)
    assert load.report is not None
    assert (load.report.own, load.report.others) == (2, 5.0)
    load.record_report(1.0)
    assert load.report.others == 0.0


def test_requests_at_the_worker_were_sent() -> None:
    """Of two own requests, one was sent; with 3 estimated requests of others, the worker has 4."""
    load = WorkerLoad()
    load.start(PIXELS_PER_IMAGE)
    load.start(0)
    load.unsent -= 1
    load.estimate_others(3.0, 0.0)
    assert (load.requests_at_worker, load.total) == (4.0, 11.5)
