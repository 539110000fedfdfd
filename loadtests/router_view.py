"""What one gateway knows of workers that it shares with others: its own requests, and the reports of the workers."""

from __future__ import annotations

import numpy as np

from sarlens.routing.candidates import Candidates
from sarlens.routing.candidates import Fleet as RoutedFleet
from sarlens.routing.policy import Policy
from sarlens.routing.router import Router
from sarlens.workers.fleet_load import estimate_others
from sarlens.workers.load import WorkerLoad


class Clock:
    """The time of a simulation, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class RouterView:
    """The gateway's own router, with the loads that the gateway knows.

    Args:
        workers: number of workers.
        clock: time of the simulation.
        policy: routing policy.
        seed: random seed.
        reads_load: whether the gateway estimates the requests of others from reports.
    """

    def __init__(self, workers: int, clock: Clock, policy: Policy, seed: int, *, reads_load: bool) -> None:
        self._clock = clock
        self._loads = [WorkerLoad(clock) for _ in range(workers)]
        self._router = Router(policy, load_bound=1.25, seed=seed)
        self._fleet = RoutedFleet([str(index) for index in range(workers)])
        self._costs = np.ones(workers) if policy == "affinity" else None
        self._reads_load = reads_load

    def choose(self, key: str | None) -> int:
        """Return the worker of a request about the image ``key``."""
        if self._reads_load:
            estimate_others(self._loads, self._clock.now)
        loads = np.array([load.total for load in self._loads])
        return next(self._router.rank(Candidates(self._fleet, loads, self._costs), key))

    def start(self, worker: int) -> float:
        """Count a request, and return the time."""
        return self._loads[worker].start(0)

    def finish(self, worker: int, started_at: float) -> None:
        """Count the end of a request."""
        self._loads[worker].finish(started_at)

    def report(self, worker: int, requests: float) -> float:
        """Record the load that a worker reports, and return the time until the next report, in seconds."""
        load = self._loads[worker]
        load.record_report(requests)
        return load.report_interval_s
