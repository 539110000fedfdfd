"""Discrete-event simulation of gateways and workers as queues, and Erlang's formulas for M/M/c.

A request needs a gateway core, then a worker. A station serves up to ``slots`` requests at once, and queues others in
order. ``speed(n)`` is the speed of each of ``n`` concurrent requests. A core has one slot. A vLLM worker has a slot per
sequence of its batch, and slows down as the batch grows. The gateway's own router (``sarlens.routing``) selects the
worker. Each gateway knows its own requests, and those of others from the reports of the workers.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from router_view import Clock, RouterView

Speed = Callable[[int], float]
Draw = Callable[[random.Random], float]


def even(_: int) -> float:
    """Return the speed of a request that is independent of concurrent requests."""
    return 1.0


@dataclass
class Station:
    """A server with a queue.

    ``progress`` is the work done for a request that is served all the time, in seconds of a station without other
    requests. ``running`` holds, per request, the progress at which it is done. The lowest ends next at any speed.
    """

    slots: int
    speed: Speed = even
    progress: float = 0.0
    since: float = 0.0
    busy_s: float = 0.0
    running: list[tuple[float, int]] = field(default_factory=list)
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    version: int = 0

    @property
    def load(self) -> int:
        """Number of running and waiting requests."""
        return len(self.running) + len(self.waiting)

    def advance(self, now: float) -> None:
        """Advance the running requests to ``now``."""
        if self.running:
            self.progress += (now - self.since) * self.speed(len(self.running))
            self.busy_s += now - self.since
        self.since = now

    def add(self, work_s: float, request: int) -> None:
        """Start or queue a request that needs ``work_s`` seconds at speed 1."""
        if len(self.running) < self.slots:
            heapq.heappush(self.running, (self.progress + work_s, request))
        else:
            self.waiting.append((work_s, request))
        self.version += 1

    def release(self) -> int:
        """Remove and return the request that is done, and start the one that has waited longest."""
        _, request = heapq.heappop(self.running)
        if self.waiting:
            self.add(*self.waiting.popleft())
        self.version += 1
        return request

    def next_end(self) -> float:
        """Return the time at which the next request is done if none arrives."""
        return self.since + max(0.0, self.running[0][0] - self.progress) / self.speed(len(self.running))


@dataclass(frozen=True)
class Fleet:
    """Number of gateways and workers, and their service times."""

    gateways: int
    """Number of gateway cores; with 0, requests go to the workers at once."""
    workers: int
    gateway_s: Draw
    """Draws the seconds of a request on a gateway core."""
    worker_s: Draw
    """Draws the seconds of a request on an otherwise idle worker."""
    slots: int = 1
    """Concurrent requests per worker."""
    speed: Speed = even
    """Speed of each of ``n`` concurrent requests of a worker."""
    routers: int = 1
    """Number of gateways that route on their own; a request arrives at each of them in turn."""
    probe_interval_s: float = 2.0
    """Longest interval between two reports of a worker's load to a gateway."""


@dataclass(frozen=True)
class Passage:
    """Times of one request, in seconds."""

    arrived: float
    took: float
    alone: float
    """Duration without other requests."""

    @property
    def waited(self) -> float:
        """Additional duration because of other requests, in seconds."""
        return max(0.0, self.took - self.alone)


def simulate(fleet: Fleet, arrivals: Iterable[float], seed: int = 0) -> Iterator[Passage]:
    """Yield each request in the order of completion; ``arrivals`` are ascending times."""
    yield from _Simulation(fleet, seed).run(arrivals)


class _Simulation:
    """Stations and pending events."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._random = random.Random(seed)
        self._fleet = fleet
        self._gateways = [Station(1) for _ in range(fleet.gateways)]
        self._workers = [Station(fleet.slots, fleet.speed) for _ in range(fleet.workers)]
        self._stations = self._gateways + self._workers
        self._clock = Clock()
        shared = fleet.routers > 1
        self._views = [
            RouterView(fleet.workers, self._clock, "affinity", seed + number, reads_load=shared)
            for number in range(fleet.routers)
        ]
        self._reports = [
            (self._random.random() * fleet.probe_interval_s, router, worker)
            for router in range(fleet.routers if shared else 0)
            for worker in range(fleet.workers)
        ]
        heapq.heapify(self._reports)
        self._sent: dict[int, tuple[int, float]] = {}
        """Worker of each request and the time at which its gateway sent it."""
        self._ends: list[tuple[float, int, int]] = []
        self._arrivals: dict[int, tuple[float, float, float]] = {}

    def run(self, arrivals: Iterable[float]) -> Iterator[Passage]:
        for request, now in enumerate(arrivals):
            yield from self._until(now)
            gateway_s = self._fleet.gateway_s(self._random) if self._gateways else 0.0
            self._arrivals[request] = now, gateway_s, self._fleet.worker_s(self._random)
            if self._gateways:
                self._enter(request % len(self._gateways), gateway_s, request, now)
            else:
                self._to_worker(request, now)
        yield from self._until(math.inf)

    def _until(self, now: float) -> Iterator[Passage]:
        while self._ends and self._ends[0][0] <= now:
            when, index, version = heapq.heappop(self._ends)
            station = self._stations[index]
            if version != station.version:
                continue
            self._report_until(when)
            station.advance(when)
            request = station.release()
            self._schedule_end(index)
            if index < len(self._gateways):
                self._to_worker(request, when)
            else:
                yield self._leave(request, when)
        if now < math.inf:
            self._report_until(now)

    def _report_until(self, now: float) -> None:
        """Give each gateway the reports up to ``now``."""
        while self._reports and self._reports[0][0] <= now:
            when, router, worker = heapq.heappop(self._reports)
            self._clock.now = when
            interval_s = self._views[router].report(worker, self._workers[worker].load)
            next_at = when + min(interval_s, self._fleet.probe_interval_s)
            heapq.heappush(self._reports, (next_at, router, worker))
        self._clock.now = now

    def _to_worker(self, request: int, now: float) -> None:
        view = self._views[request % len(self._views)]
        worker = view.choose(str(request))
        self._sent[request] = worker, view.start(worker)
        self._enter(len(self._gateways) + worker, self._arrivals[request][2], request, now)

    def _leave(self, request: int, now: float) -> Passage:
        self._views[request % len(self._views)].finish(*self._sent.pop(request))
        arrived, gateway_s, worker_s = self._arrivals.pop(request)
        return Passage(arrived, now - arrived, gateway_s + worker_s / self._fleet.speed(1))

    def _enter(self, index: int, work_s: float, request: int, now: float) -> None:
        self._stations[index].advance(now)
        self._stations[index].add(work_s, request)
        self._schedule_end(index)

    def _schedule_end(self, index: int) -> None:
        station = self._stations[index]
        if station.running:
            heapq.heappush(self._ends, (station.next_end(), index, station.version))


def poisson(rate: Callable[[float], float], max_rate: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Yield arrival times of a Poisson process with ``rate(t)`` per second, at max_rate ``max_rate``.

    The method is thinning (Lewis and Shedler, 1979).
    """
    rng = random.Random(seed)
    for now in itertools.accumulate(rng.expovariate(max_rate) for _ in itertools.count()):
        if now >= seconds:
            return
        if rng.random() * max_rate < rate(now):
            yield now


def erlang_c(servers: int, load: float) -> float:
    """Return the probability of a wait in M/M/c (Erlang, 1917); ``load`` is the arrival rate times the service time."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_wait(servers: int, rate: float, service_s: float, quantile: float) -> float:
    """Return a quantile of the wait in M/M/c, in seconds."""
    waits = erlang_c(servers, rate * service_s)
    return max(0.0, math.log(waits / (1 - quantile)) * service_s / (servers - rate * service_s))


def percentile(values: Sequence[float], quantile: float) -> float:
    """Return a quantile of values."""
    return sorted(values)[min(len(values) - 1, int(quantile * len(values)))]
