"""The load of workers that serve several gateways, estimated between their reports.

A gateway knows its own requests exactly, and those of others only when a worker reports its load. A gateway that
trusted an old report would send all requests to the worker that was idle then, together with all other gateways.

A report is worth little after the mean duration of a request. A gateway that shares its workers therefore reads their
load twice in that time, within limits for the worker and for itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sarlens.workers.load import WorkerLoad
from sarlens.workers.worker import Worker

_MAX_OTHERS_PER_REQUEST = 100.0
_DEFAULT_DURATION_S = 1.0
_MIN_OTHERS_PER_REQUEST = 0.5
"""Requests of other gateways for each own one from which on the gateway reads the load between health checks."""
_MAX_REPORTS_PER_WORKER = 50.0
"""Reports a second that one worker gives to all gateways."""
_MAX_REPORTS_PER_GATEWAY = 200.0
"""Reports a second that one gateway reads from all workers."""


def estimate_fleet_load(workers: Iterable[Worker], now: float) -> None:
    """Estimate the load of other gateways at each worker, relative to the workers of its weight and models."""
    groups: defaultdict[tuple[float, frozenset[str]], list[Worker]] = defaultdict(list)
    for worker in workers:
        if worker.ready:
            groups[worker.weight, frozenset(worker.models)].append(worker)
    for group in groups.values():
        estimate_others([worker.load for worker in group], now)


def estimate_others(loads: Sequence[WorkerLoad], now: float) -> None:
    """Estimate the load of other gateways at workers that get the same traffic.

    The difference between a report and the mean of all reports fades with the age of the report, in units of the mean
    duration of a request. Other gateways have the same information, so each change of this gateway's own requests
    since the report stands for similar changes of the others.
    """
    reports = [load.report for load in loads if load.report is not None]
    if not reports:
        for load in loads:
            load.estimate_others(0.0, 0.0)
            load.report_interval_s = math.inf
        return
    mean_others = sum(report.others for report in reports) / len(reports)
    own = sum(report.own for report in reports)
    per_request = min(_MAX_OTHERS_PER_REQUEST, mean_others * len(reports) / (own + 1))
    durations = [load.mean_duration_s for load in loads if load.mean_duration_s]
    duration_s = sum(durations) / len(durations) if durations else _DEFAULT_DURATION_S
    interval_s = _report_interval_s(per_request, duration_s, len(loads))
    for load in loads:
        load.report_interval_s = interval_s
        if load.report is None:
            load.estimate_others(mean_others, 0.0)
        else:
            fading = math.exp((load.report.at - now) / duration_s)
            others = mean_others + (load.report.others - mean_others) * fading
            load.estimate_others(others - per_request * load.report.own, per_request)


def _report_interval_s(others_per_request: float, duration_s: float, workers: int) -> float:
    """Return the time after which a report is too old, in seconds.

    Args:
        others_per_request: requests of other gateways for each own one, which estimates the number of other gateways.
        duration_s: mean duration of a request.
        workers: number of workers with the same traffic.
    """
    if others_per_request < _MIN_OTHERS_PER_REQUEST:
        return math.inf
    return max(duration_s / 2, (others_per_request + 1) / _MAX_REPORTS_PER_WORKER, workers / _MAX_REPORTS_PER_GATEWAY)
