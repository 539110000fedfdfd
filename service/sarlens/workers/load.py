"""The load of one worker: requests of this gateway, and the estimated requests of others."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from sarlens.workers.columns import WorkerColumns
from sarlens.workers.prefill_cost import PrefillCost

Clock = Callable[[], float]

_DURATIONS = 64
"""Number of requests that the mean duration covers."""


class LoadReport(NamedTuple):
    """The load that a worker reported."""

    requests: float
    """Requests of all gateways that run or wait."""
    own: int
    """Requests of this gateway among them."""
    at: float
    """Time of the report."""

    @property
    def others(self) -> float:
        """Requests of other gateways."""
        return max(0.0, self.requests - self.own)


class WorkerLoad:
    """The load of one worker, in requests."""

    __slots__ = (
        "_clock",
        "_columns",
        "_others",
        "_others_per_request",
        "_row",
        "in_flight",
        "mean_duration_s",
        "own",
        "pending_pixels",
        "prefill_cost",
        "report",
        "report_interval_s",
        "sent_pixels",
        "total",
        "unsent",
    )

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self.in_flight = 0
        self.pending_pixels = 0
        """Pixels of the images that the worker still has to prefill for them."""
        self.unsent = 0
        """Requests in flight that the gateway hasn't sent yet, because it renders an image or waits for one."""
        self.sent_pixels = 0
        """Pixels of the images that were sent as data, in requests to which the worker hasn't begun to respond."""
        self.prefill_cost = PrefillCost()
        self.own = 0.0
        """Requests of this gateway in flight, and the work to prefill their images."""
        self.total = 0.0
        """``own`` and the estimated requests of other gateways."""
        self.report: LoadReport | None = None
        self.report_interval_s = math.inf
        """Age at which a report needs to be renewed, in seconds; infinite if health checks are enough."""
        self.mean_duration_s = 0.0
        self._others = self._others_per_request = 0.0
        self.write_to(WorkerColumns(1), 0)

    def write_to(self, columns: WorkerColumns, row: int) -> None:
        """Write the load and the cost of an image to a row, from now on."""
        self._columns, self._row = columns, row
        self._columns.image_costs[row] = self.prefill_cost.requests_per_image
        self._count(0, 0)

    def learn_prefill_cost(self, requests: float, pixels: int, seconds: float, *, stream: bool) -> None:
        """Learn from the time until a response began, as ``PrefillCost.observe`` describes."""
        self.prefill_cost.observe(requests, pixels, seconds, stream=stream)
        self._columns.image_costs[self._row] = self.prefill_cost.requests_per_image

    @property
    def requests_at_worker(self) -> float:
        """Requests in flight that were sent, with the estimated requests of other gateways."""
        return self.in_flight - self.unsent + self._estimated_others()

    def start(self, pixels: int, requests: int = 1) -> float:
        """Count requests, not sent yet, whose images have ``pixels`` to prefill together, and return the time."""
        self.unsent += requests
        self._count(requests, pixels)
        return self._clock()

    def mark_prefilled(self, pixels: int) -> None:
        """Subtract the pixels of a request that the worker has prefilled."""
        self._count(0, -pixels)

    def finish(self, started_at: float, requests: int = 1) -> None:
        """Count the end of requests that started together, and include their duration in the mean."""
        self._count(-requests, 0)
        seconds = self._clock() - started_at
        self.mean_duration_s += (seconds - self.mean_duration_s) / (_DURATIONS if self.mean_duration_s else 1)

    def record_report(self, requests: float | None) -> None:
        """Record the requests that the worker reports, or that it reports none."""
        self.report = None if requests is None else LoadReport(requests, self.in_flight, self._clock())

    def estimate_others(self, requests: float, per_request: float) -> None:
        """Set the estimate of other gateways: ``requests``, plus ``per_request`` for each request in flight."""
        self._others, self._others_per_request = requests, per_request
        self._count(0, 0)

    def _count(self, requests: int, pixels: int) -> None:
        self.in_flight += requests
        self.pending_pixels += pixels
        self.own = self.in_flight + self.prefill_cost.of(self.pending_pixels)
        self.total = self._columns.loads[self._row] = self.own + self._estimated_others()

    def _estimated_others(self) -> float:
        return max(0.0, self._others + self._others_per_request * self.in_flight)
