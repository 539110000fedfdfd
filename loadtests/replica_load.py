"""Wait of requests behind one and many gateways that share workers, simulated with the gateway's own router.

.venv/bin/python loadtests/replica_load.py
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from queue_model import percentile
from router_view import Clock, RouterView


class Fleet(NamedTuple):
    """Workers with a number of slots, whose requests arrive at random, and their gateways."""

    workers: int
    slots: int
    """Concurrent requests per worker; others wait at the worker."""
    duration_s: float
    """Mean duration of a request, with an exponential distribution."""
    utilization: float
    """Fraction of the slots that are busy."""
    probe_interval_s: float = 2.0
    """Longest interval between two reports of a worker's load to a gateway; the gateways shorten it."""


def waits(fleet: Fleet, gateways: int, requests: int, *, reads_load: bool, seed: int = 1) -> list[float]:
    """Return the seconds that each request waited for a slot; the first tenth warms up and doesn't count."""
    return list(_Simulation(fleet, gateways, seed, reads_load=reads_load).run(requests))[requests // 10 :]


class _Simulation:
    """Events in the order of time: ``arrive``, ``end`` of a request, and ``report`` of a worker to a gateway."""

    def __init__(self, fleet: Fleet, gateways: int, seed: int, *, reads_load: bool) -> None:
        self._fleet = fleet
        self._random = random.Random(seed)
        self._clock = Clock()
        self.reports = 0
        self._gateways = [
            RouterView(fleet.workers, self._clock, "least_load", seed + i, reads_load=reads_load)
            for i in range(gateways)
        ]
        self._running = [0] * fleet.workers
        self._queues: list[deque[tuple[float, int, float]]] = [deque() for _ in range(fleet.workers)]
        self._events: list[tuple[float, int, str, int, int, float]] = []
        self._order = count()
        for gateway in range(gateways if reads_load else 0):
            for worker in range(fleet.workers):
                self._push(self._random.random() * fleet.probe_interval_s, "report", gateway, worker)
        self._push(0.0, "arrive", 0, 0)

    def _push(self, when: float, event: str, gateway: int, worker: int, started_at: float = 0.0) -> None:
        heapq.heappush(self._events, (when, next(self._order), event, gateway, worker, started_at))

    def run(self, requests: int) -> Iterator[float]:
        """Yield the wait of each request when it gets a slot."""
        started = 0
        while started < requests:
            now, _, event, gateway, worker, sent_at = heapq.heappop(self._events)
            self._clock.now = now
            if event == "arrive":
                wait = self._arrive(now)
            elif event == "end":
                wait = self._end(now, gateway, worker, sent_at)
            else:
                wait = None
                interval_s = self._gateways[gateway].report(worker, self._running[worker] + len(self._queues[worker]))
                self.reports += 1
                self._push(now + min(interval_s, self._fleet.probe_interval_s), "report", gateway, worker)
            if wait is not None:
                started += 1
                yield wait

    def _arrive(self, now: float) -> float | None:
        fleet = self._fleet
        rate = fleet.utilization * fleet.workers * fleet.slots / fleet.duration_s
        self._push(now + self._random.expovariate(rate), "arrive", 0, 0)
        gateway = self._random.randrange(len(self._gateways))
        worker = self._gateways[gateway].choose(None)
        sent_at = self._gateways[gateway].start(worker)
        if self._running[worker] == fleet.slots:
            self._queues[worker].append((now, gateway, sent_at))
            return None
        self._running[worker] += 1
        self._serve(now, gateway, worker, sent_at)
        return 0.0

    def _serve(self, now: float, gateway: int, worker: int, sent_at: float) -> None:
        self._push(now + self._random.expovariate(1 / self._fleet.duration_s), "end", gateway, worker, sent_at)

    def _end(self, now: float, gateway: int, worker: int, sent_at: float) -> float | None:
        self._gateways[gateway].finish(worker, sent_at)
        if not self._queues[worker]:
            self._running[worker] -= 1
            return None
        arrived_at, gateway, sent_at = self._queues[worker].popleft()
        self._serve(now, gateway, worker, sent_at)
        return now - arrived_at


FLEETS = (
    Fleet(8, 1, 1.0, 0.8),
    Fleet(16, 1, 10.0, 0.8),
    Fleet(8, 4, 1.0, 0.85),
    Fleet(8, 4, 0.3, 0.85),
    Fleet(8, 8, 4.0, 0.9),
    Fleet(8, 16, 2.0, 0.9),
)


def main() -> None:
    """Print p50, p99 and mean of the wait for each fleet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--gateways", type=int, default=16)
    args = parser.parse_args()
    for fleet in FLEETS:
        print(
            f"{fleet.workers} workers with {fleet.slots} slots, {fleet.duration_s:g} s a request, "
            f"{fleet.utilization:.0%} busy; wait in seconds"
        )
        for gateways, reads_load in ((1, False), (1, True), (args.gateways, False), (args.gateways, True)):
            values = waits(fleet, gateways, args.requests, reads_load=reads_load)
            mean = sum(values) / len(values)
            print(
                f"  {gateways:>3} gateways, {'with reports' if reads_load else 'own load    '}: "
                f"p50 {percentile(values, 0.5):6.3f}  p99 {percentile(values, 0.99):6.3f}  mean {mean:6.3f}"
            )


if __name__ == "__main__":
    main()
