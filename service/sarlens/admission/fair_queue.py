"""The fair queue: the order in which queued requests run, and the one to reject if the queue is full.

Start-time fair queueing (Goyal, Vin and Cheng, 1996). Each flow has a virtual start. A request moves it on by its cost
divided by the weight of its key. The flow with the earliest virtual start is next. A flow that was idle continues at
the present virtual time, so it neither saves up capacity nor waits behind the queue of another key.

Flows are in sorted lists: an operation takes a number of comparisons that is logarithmic in the number of flows.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count

from sarlens.types.caller import CallerPolicy, Share

_Entry = tuple[int, float, int, "Flow"]
"""Place of a flow in an order: its priority, a value, and the sequence number of a waiter, which is unique."""


@dataclass(eq=False, slots=True)
class Tenant:
    """An API key, with its requests at all priorities."""

    name: str
    """Name of the key; empty for callers without a key."""
    share: Share | None = None
    """Share that the following fields are of."""
    weight: float = 1.0
    max_parallel: float = math.inf
    max_queued: float = math.inf
    running: int = 0
    queued: int = 0
    mean_duration_s: float = 0.0
    flows: list[Flow] = field(default_factory=list)

    def update(self, share: Share) -> None:
        """Apply the share of the key, which a reload of the keys can change."""
        self.share, self.weight = share, share.weight
        self.max_parallel = math.inf if share.max_parallel is None else share.max_parallel
        self.max_queued = math.inf if share.max_queued is None else share.max_queued


@dataclass(eq=False, slots=True)
class Level:
    """The flows of one priority."""

    priority: int
    virtual_time: float = 0.0
    """Virtual start of the latest request."""
    queued: int = 0
    """Number of waiters in ready flows."""
    weight: float = 0.0
    """Sum of the weights of ready flows."""


@dataclass(eq=False, slots=True)
class Flow:
    """The requests of one API key at one priority. A flow is ready if the next of its waiters may run."""

    tenant: Tenant
    level: Level
    virtual_start: float = 0.0
    """Virtual time at which the next request starts."""
    waiters: OrderedDict[Waiter, None] = field(default_factory=OrderedDict)
    """Queued requests, in the order of arrival."""
    ready_place: _Entry | None = None
    ready_queued: int = 0
    ready_weight: float = 0.0
    backlog_place: _Entry | None = None


@dataclass(eq=False, slots=True)
class Waiter:
    """A queued request."""

    flow: Flow
    pixels: int
    cost: int
    """Number of requests that it counts for."""
    sequence: int
    admitted: asyncio.Future[None]


class FairQueue:
    """Queued requests by priority, and in each priority by the virtual start of their flows."""

    def __init__(self) -> None:
        self.queued = 0
        self._tenants: dict[str, Tenant] = {}
        self._levels: dict[int, Level] = {}
        self._flows: dict[tuple[str, int], Flow] = {}
        self._ready: list[_Entry] = []
        """Ready flows by priority and virtual start."""
        self._backlog: list[_Entry] = []
        """Flows with waiters by priority and the number of waiters, relative to the weight."""
        self._sequence = count()

    def flow(self, policy: CallerPolicy) -> Flow:
        """Return the flow of a caller's requests. Flows stay, so their number is that of keys and priorities."""
        flow = self._flows.get((policy.share.name, policy.priority))
        if flow is None:
            tenant = self._tenants.setdefault(policy.share.name, Tenant(policy.share.name))
            level = self._levels.setdefault(policy.priority, Level(policy.priority))
            flow = self._flows[policy.share.name, policy.priority] = Flow(tenant, level)
            tenant.flows.append(flow)
        if flow.tenant.share is not policy.share:
            flow.tenant.update(policy.share)
            self._reorder_tenant(flow.tenant)
        return flow

    def first(self) -> Waiter | None:
        """Return the next waiter to run, or None if every queued request waits for others of its key."""
        return next(iter(self._ready[0][3].waiters)) if self._ready else None

    def may_start(self, flow: Flow) -> bool:
        """Return whether a request that arrives now goes before all waiters."""
        if flow.tenant.running >= flow.tenant.max_parallel:
            return False
        if not self._ready:
            return True
        virtual_start = max(flow.virtual_start, flow.level.virtual_time)
        return not flow.waiters and (flow.level.priority, virtual_start) < self._ready[0][:2]

    def start(self, flow: Flow, cost: int) -> None:
        """Count a running request."""
        level, tenant = flow.level, flow.tenant
        level.virtual_time = max(level.virtual_time, flow.virtual_start)
        flow.virtual_start = level.virtual_time + cost / tenant.weight
        tenant.running += 1
        if tenant.queued:
            self._reorder_tenant(tenant)

    def end(self, flow: Flow) -> None:
        """Count off a running request."""
        tenant = flow.tenant
        tenant.running -= 1
        if tenant.queued and tenant.max_parallel < math.inf:
            self._reorder_tenant(tenant)

    def add(self, flow: Flow, pixels: int, cost: int, admitted: asyncio.Future[None]) -> Waiter:
        """Queue a request as the last one of its flow."""
        waiter = Waiter(flow, pixels, cost, next(self._sequence), admitted)
        flow.waiters[waiter] = None
        flow.tenant.queued += 1
        self.queued += 1
        self._reorder(flow)
        return waiter

    def discard(self, waiter: Waiter) -> None:
        """Remove a waiter if it is still queued."""
        flow = waiter.flow
        if waiter in flow.waiters:
            del flow.waiters[waiter]
            flow.tenant.queued -= 1
            self.queued -= 1
            self._reorder(flow)

    def victim(self, flow: Flow) -> Waiter | None:
        """Return the waiter to reject so that a full queue has a place for a new request of ``flow``.

        It is the newest one of the flow with the lowest priority and, in it, the most waiters relative to the weight.
        None means that no flow has a lower priority or, with the new request, more waiters.
        """
        if not self._backlog:
            return None
        own_load = (len(flow.waiters) + 1) / flow.tenant.weight
        longest = self._backlog[-1]
        return next(reversed(longest[3].waiters)) if longest[:2] > (flow.level.priority, own_load) else None

    def ahead(self, flow: Flow) -> float:
        """Estimate the number of queued requests that run before a new one of ``flow``."""
        level, own = flow.level, len(flow.waiters)
        higher = sum(other.queued for other in self._levels.values() if other.priority < level.priority)
        others_weight = level.weight - flow.ready_weight
        others = min(level.queued - flow.ready_queued, (own + 1) * others_weight / flow.tenant.weight)
        return higher + own + others

    def _reorder_tenant(self, tenant: Tenant) -> None:
        for flow in tenant.flows:
            self._reorder(flow)

    def _reorder(self, flow: Flow) -> None:
        """Update the places of a flow after a change of its waiters, its virtual start or its key."""
        level, tenant, queued = flow.level, flow.tenant, len(flow.waiters)
        if flow.backlog_place is not None:
            _remove(self._backlog, flow.backlog_place)
            flow.backlog_place = None
        if flow.ready_place is not None:
            _remove(self._ready, flow.ready_place)
            flow.ready_place = None
        level.queued -= flow.ready_queued
        level.weight -= flow.ready_weight
        flow.ready_queued, flow.ready_weight = 0, 0.0
        if not queued:
            return
        newest, oldest = next(reversed(flow.waiters)), next(iter(flow.waiters))
        flow.backlog_place = (level.priority, queued / tenant.weight, newest.sequence, flow)
        insort(self._backlog, flow.backlog_place)
        if tenant.running >= tenant.max_parallel:
            return
        flow.virtual_start = max(flow.virtual_start, level.virtual_time)
        flow.ready_place = (level.priority, flow.virtual_start, oldest.sequence, flow)
        flow.ready_queued, flow.ready_weight = queued, tenant.weight
        level.queued += queued
        level.weight += tenant.weight
        insort(self._ready, flow.ready_place)


def _remove(order: list[_Entry], place: _Entry) -> None:
    del order[bisect_left(order, place)]
