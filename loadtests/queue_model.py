"""Gateways and workers as queues: a simulation event by event, and the theory that it is held to.

A request needs the core of a gateway, then a worker. A station serves up to ``slots`` requests at the same time, others
wait in order; how fast each of ``n`` goes is ``speed(n)``. A core is one slot. A vLLM worker, which puts all that it
has into one batch, has as many slots as sequences, and slows down as the batch grows. Which worker, says the gateway's
own router (``sarlens.routing``). The theory is Erlang's: M/M/c.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sarlens.routing.policy import Candidate, Router

Speed = Callable[[int], float]
Draw = Callable[[random.Random], float]


def even(_: int) -> float:
    """The speed of a request that does not feel the others in its station."""
    return 1.0


@dataclass
class Station:
    """One that serves: what is at work by the progress at which it is done, and who waits.

    Progress is the work that a request which was there all the time would have got, in seconds of a station that has
    nothing else to do, so that the next one done is the lowest, however the speed changes.
    """

    slots: int
    speed: Speed = even
    progress: float = 0.0
    since: float = 0.0
    busy_s: float = 0.0
    at_work: list[tuple[float, int]] = field(default_factory=list)
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    version: int = 0

    @property
    def load(self) -> int:
        """Requests here."""
        return len(self.at_work) + len(self.waiting)

    def advance(self, now: float) -> None:
        """Give what is at work its due until ``now``."""
        if self.at_work:
            self.progress += (now - self.since) * self.speed(len(self.at_work))
            self.busy_s += now - self.since
        self.since = now

    def take(self, work_s: float, request: int) -> None:
        """Begin a request, or let it wait."""
        if len(self.at_work) < self.slots:
            heapq.heappush(self.at_work, (self.progress + work_s, request))
        else:
            self.waiting.append((work_s, request))
        self.version += 1

    def release(self) -> int:
        """End the request that is done, begin the one that waits longest; which one is done."""
        _, request = heapq.heappop(self.at_work)
        if self.waiting:
            self.take(*self.waiting.popleft())
        self.version += 1
        return request

    def next_end(self) -> float:
        """When the next request is done if nothing changes."""
        return self.since + max(0.0, self.at_work[0][0] - self.progress) / self.speed(len(self.at_work))


@dataclass(frozen=True)
class Fleet:
    """What serves, and how long it takes.

    ``gateway_s`` draws the seconds that a request has a gateway's core, ``worker_s`` those that it has a worker that
    does nothing else; ``speed`` is of a worker with ``slots``. No gateways: requests go to the workers at once.
    """

    gateways: int
    workers: int
    gateway_s: Draw
    worker_s: Draw
    slots: int = 1
    speed: Speed = even


@dataclass(frozen=True)
class Passage:
    """One request: when it came, how long it took, and how long it would have taken alone; all in seconds."""

    came: float
    took: float
    alone: float

    @property
    def waited(self) -> float:
        """What others cost it."""
        return max(0.0, self.took - self.alone)


def simulate(fleet: Fleet, arrivals: Iterable[float], seed: int = 0) -> Iterator[Passage]:
    """The passage of each request, in the order in which they end; ``arrivals`` are times that do not fall."""
    yield from _Simulation(fleet, seed).run(arrivals)


class _Simulation:
    """The stations, and what happens next."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._random = random.Random(seed)
        self._fleet = fleet
        self._gateways = [Station(1) for _ in range(fleet.gateways)]
        self._workers = [Station(fleet.slots, fleet.speed) for _ in range(fleet.workers)]
        self._stations = self._gateways + self._workers
        self._router = Router("affinity", bound=1.25, seed=seed)
        self._ends: list[tuple[float, int, int]] = []
        self._came: dict[int, tuple[float, float, float]] = {}

    def run(self, arrivals: Iterable[float]) -> Iterator[Passage]:
        for request, now in enumerate(arrivals):
            yield from self._until(now)
            gateway_s = self._fleet.gateway_s(self._random) if self._gateways else 0.0
            self._came[request] = now, gateway_s, self._fleet.worker_s(self._random)
            if self._gateways:
                self._enter(request % len(self._gateways), gateway_s, request, now)
            else:
                self._to_worker(request, now)
        yield from self._until(math.inf)

    def _until(self, now: float) -> Iterator[Passage]:
        while self._ends and self._ends[0][0] <= now:
            when, place, version = heapq.heappop(self._ends)
            station = self._stations[place]
            if version != station.version:
                continue
            station.advance(when)
            request = station.release()
            self._expect(place)
            if place < len(self._gateways):
                self._to_worker(request, when)
            else:
                came, gateway_s, worker_s = self._came.pop(request)
                yield Passage(came, when - came, gateway_s + worker_s / self._fleet.speed(1))

    def _to_worker(self, request: int, now: float) -> None:
        loads = [Candidate(str(place), float(worker.load)) for place, worker in enumerate(self._workers)]
        place = len(self._gateways) + self._router.rank(loads, str(request))[0]
        self._enter(place, self._came[request][2], request, now)

    def _enter(self, place: int, work_s: float, request: int, now: float) -> None:
        self._stations[place].advance(now)
        self._stations[place].take(work_s, request)
        self._expect(place)

    def _expect(self, place: int) -> None:
        station = self._stations[place]
        if station.at_work:
            heapq.heappush(self._ends, (station.next_end(), place, station.version))


def poisson(rate: Callable[[float], float], most: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Times of requests that come by chance at ``rate(t)`` a second, never above ``most`` (Lewis and Shedler, 1979)."""
    choose = random.Random(seed)
    for now in itertools.accumulate(choose.expovariate(most) for _ in itertools.count()):
        if now >= seconds:
            return
        if choose.random() * most < rate(now):
            yield now


def erlang_c(servers: int, load: float) -> float:
    """The part of requests that have to wait in M/M/c (Erlang, 1917); ``load`` is arrivals times mean service."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_wait(servers: int, rate: float, service_s: float, part: float) -> float:
    """The wait, in seconds, that ``part`` of the requests do not exceed in M/M/c."""
    waits = erlang_c(servers, rate * service_s)
    return max(0.0, math.log(waits / (1 - part)) * service_s / (servers - rate * service_s))


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of some do not exceed."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
