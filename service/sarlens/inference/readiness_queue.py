"""The readiness queue: requests for models that no worker is ready to serve wait until one is."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from sarlens.errors import DeadlineExceeded, NoWorkerAvailable, Overloaded, QuotaExceeded
from sarlens.observability.metrics import Metrics, Rejection
from sarlens.observability.route_receipt import queue_time
from sarlens.types.caller import CallerPolicy, Share
from sarlens.workers.pool import WorkerPool


class ReadinessQueue:
    """Resolves models; up to ``max_queued`` requests wait for a worker, each at most ``queue_timeout_s`` seconds.

    A request that finds the queue full takes the place of the newest one of the API key with the most requests in it.
    The requests for each of ``models_at_zero`` are counted, so that an autoscaler starts a worker for them.
    """

    def __init__(
        self,
        pool: WorkerPool,
        *,
        max_queued: int,
        queue_timeout_s: float,
        metrics: Metrics,
        models_at_zero: Collection[str] = (),
    ) -> None:
        self._pool = pool
        self._max_queued = max_queued
        self._queue_timeout_s = queue_timeout_s
        self._metrics = metrics
        self._waiting: dict[str, list[asyncio.Timeout]] = {}
        """Scopes of waiting requests by the name of their API key; an evicted one isn't here, and ends at once."""
        self._at_zero = {model: metrics.waiting_for_model.labels(model) for model in models_at_zero}

    async def resolve_model(self, model: str | None, policy: CallerPolicy) -> str:
        """Return the model that a request names, as soon as a worker serves it.

        Raises:
            NoWorkerAvailable: no worker became ready in time.
            DeadlineExceeded: the caller's deadline passed first.
            Overloaded: too many requests wait already.
            ModelNotFound: no worker serves this model, or the caller can't use it.
            BadRequest: the name is missing and the caller can use several models.
        """
        try:
            return self._pool.resolve_model(model, policy.can_use)
        except NoWorkerAvailable:
            return await self._wait_in_queue(model, policy)

    async def _wait_in_queue(self, model: str | None, policy: CallerPolicy) -> str:
        """Wait for a worker; raises as ``resolve_model``."""
        remaining_s = math.inf if policy.deadline is None else policy.deadline - time.time()
        waiting = self._make_room(policy.share)
        scope = asyncio.timeout(min(self._queue_timeout_s, remaining_s))
        waiting.append(scope)
        try:
            with self._count(model), self._metrics.stage("admission"), queue_time():
                async with scope:
                    return await self._wait(model, policy)
        except TimeoutError:
            if scope not in waiting:
                raise self._queue_full("fair_share") from None
            if remaining_s < self._queue_timeout_s:
                self._metrics.rejections.labels("deadline").inc()
                raise DeadlineExceeded("The deadline passed while the request waited for a worker.") from None
            self._metrics.rejections.labels("queue_timeout").inc()
            return self._pool.resolve_model(model, policy.can_use)
        finally:
            if scope in waiting:
                waiting.remove(scope)

    @contextmanager
    def _count(self, model: str | None) -> Iterator[None]:
        """Count a request for a model whose workers may be scaled to zero."""
        gauge = self._at_zero.get(model or "")
        if gauge is None:
            yield
            return
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def _make_room(self, share: Share) -> list[asyncio.Timeout]:
        """Return the waiting requests of a key, to which another one may be added.

        Raises:
            QuotaExceeded: the key has as many queued requests as it may have.
            Overloaded: the queue is full, and no other key has more requests in it.
        """
        own = self._waiting.setdefault(share.name, [])
        if share.max_queued is not None and len(own) >= share.max_queued:
            self._metrics.rejections.labels("key_queue_full").inc()
            raise QuotaExceeded(f"This API key allows {share.max_queued} queued requests.", retry_after=2)
        if sum(map(len, self._waiting.values())) >= self._max_queued:
            longest = max(self._waiting.values(), key=len)
            if len(longest) <= len(own) + 1:
                raise self._queue_full("queue_full")
            longest.pop().reschedule(0.0)
        return own

    def _queue_full(self, reason: Rejection) -> Overloaded:
        self._metrics.rejections.labels(reason).inc()
        return Overloaded("No worker is ready, and too many requests are queued.", retry_after=2)

    async def _wait(self, model: str | None, policy: CallerPolicy) -> str:
        while True:
            await self._pool.wait_for_change()
            with suppress(NoWorkerAvailable):
                return self._pool.resolve_model(model, policy.can_use)
