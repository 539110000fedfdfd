"""The monitor of the worker pool: discovery and health checks, each in a task of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from time import monotonic

import structlog

from sarlens.observability.metrics import Metrics
from sarlens.runtime.task_group import TaskGroup
from sarlens.workers.discovery.base import DiscoveryError, EndpointWeights, ServiceDiscovery
from sarlens.workers.fleet_load import estimate_fleet_load
from sarlens.workers.pool import LocationStatus, WorkerPool
from sarlens.workers.worker import Worker

log = structlog.get_logger(__name__)

_ESTIMATES_PER_REPORT = 8
_MAX_MODELS = 50
"""Maximum number of models in a log line."""
_JITTER = 0.1
"""Fraction by which intervals vary, so that many gateways don't check a worker at the same time."""


class WorkerMonitor:
    """Refreshes the endpoints and checks the workers, every ``interval_s`` seconds.

    A location or a worker that doesn't answer delays no other.
    """

    def __init__(
        self, pool: WorkerPool, discoveries: Mapping[str, ServiceDiscovery], metrics: Metrics, *, interval_s: float
    ) -> None:
        """``discoveries`` are those of the locations that the settings name."""
        self._pool = pool
        self._locations = {discovery: location for location, discovery in discoveries.items()}
        self._endpoints: dict[ServiceDiscovery, EndpointWeights] = {discovery: {} for discovery in self._locations}
        self._failures = {
            discovery: metrics.discovery_failures.labels(discovery.scheme) for discovery in self._endpoints
        }
        self._untried = set(self._endpoints)
        self._interval_s = interval_s
        self._probes: dict[Worker, asyncio.Task[None]] = {}

    async def run_forever(self) -> None:
        """Run until canceled."""
        self._note_first_checks()
        async with TaskGroup() as group:
            for discovery in self._endpoints:
                group.create_task(self._discover_forever(discovery, group))
            group.create_task(self._estimate_load_forever())

    async def _discover_forever(self, discovery: ServiceDiscovery, group: asyncio.TaskGroup) -> None:
        while True:
            started_at = asyncio.get_running_loop().time()
            failure: str | None = None
            try:
                self._endpoints[discovery] = await discovery.endpoints()
            except DiscoveryError as error:
                self._failures[discovery].inc()
                failure = str(error)
                log.warning("workers not found", reason=failure)
            except Exception:
                # The next attempt may succeed; without discovery the gateway would keep workers that are gone.
                failure = "an unexpected error; the log has its traceback"
                log.exception("worker discovery failed")
            found = LocationStatus(len(self._endpoints[discovery]), failure, monotonic())
            self._pool.locations[self._locations[discovery]] = found
            self._update(group)
            self._untried.discard(discovery)
            self._note_first_checks()
            await self._sleep(started_at)

    def _update(self, group: asyncio.TaskGroup) -> None:
        """Hand the endpoints of all locations to the pool, and check its workers, and those that left with requests."""
        names = {url: name for discovery in self._endpoints for url, name in discovery.names.items()}
        self._pool.set_endpoints(
            {url: weight for found in self._endpoints.values() for url, weight in found.items()}, names
        )
        for worker in [worker for worker in self._probes if not worker.needs_probes]:
            self._probes.pop(worker).cancel()
        for worker in self._pool.workers:
            if worker not in self._probes:
                self._probes[worker] = group.create_task(self._probe_forever(worker))

    def _note_first_checks(self) -> None:
        pool = self._pool
        if pool.initialized or self._untried or not all(worker.checked for worker in pool.workers):
            return
        pool.initialized = True
        models = sorted(pool.models())[:_MAX_MODELS]
        facts = {"workers": len(pool.workers), "ready": pool.ready_workers, "models": models}
        if pool.ready:
            log.info("workers found", **facts)
        else:
            log.warning("no worker is ready", reason=pool.describe_unready(), **facts)

    async def _probe_forever(self, worker: Worker) -> None:
        while True:
            started_at = asyncio.get_running_loop().time()
            try:
                await worker.probe()
            except Exception:
                # The next check may succeed; without health checks the gateway would route blindly.
                log.exception("health check failed", worker=worker.name)
            worker.checked = True
            self._note_first_checks()
            await self._sleep(started_at, worker)

    async def _estimate_load_forever(self) -> None:
        """Update the estimates several times between two reports of a worker."""
        while True:
            workers = self._pool.workers
            estimate_fleet_load(workers, monotonic())
            interval_s = min((worker.load.report_interval_s for worker in workers), default=self._interval_s)
            await asyncio.sleep(min(interval_s, self._interval_s) / _ESTIMATES_PER_REPORT)

    async def _sleep(self, started_at: float, worker: Worker | None = None) -> None:
        """Sleep until an interval has passed since a time; meanwhile, renew reports of a worker's load that are old."""
        time = asyncio.get_running_loop().time
        ends_at = started_at + _vary(self._interval_s)
        while worker is not None and (renewed_at := time() + _vary(worker.load.report_interval_s)) < ends_at:
            await asyncio.sleep(renewed_at - time())
            await worker.refresh_load()
        await asyncio.sleep(max(0.0, ends_at - time()))


def _vary(interval_s: float) -> float:
    """Return an interval that is at random a little longer or shorter."""
    return interval_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  not used for security
