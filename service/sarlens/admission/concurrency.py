"""The concurrency limit: a bounded number of running requests, and a bounded, fair queue."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from sarlens.admission.fair_queue import FairQueue, Flow, Waiter
from sarlens.errors import DeadlineExceeded, Overloaded, QuotaExceeded, SarlensError
from sarlens.observability.metrics import Metrics, Rejection
from sarlens.observability.route_receipt import queue_time
from sarlens.types.caller import CallerPolicy

_MAX_RETRY_AFTER_S = 60


class ConcurrencyLimiter:
    """Runs at most ``max_concurrency()`` requests at a time, with at most ``max_pixels`` image pixels in total.

    Up to ``max_queued`` further requests wait, at most ``queue_timeout_s`` seconds or until their deadline. Lower
    priorities run first; in a priority, API keys share the capacity by their weights. Nothing runs before the first
    waiter, so a request whose pixels don't fit isn't overtaken. A request that finds the queue full takes the place of
    one of lower priority, or of a key that queues more in relation to its weight. Otherwise it is rejected.
    """

    def __init__(
        self,
        *,
        max_concurrency: Callable[[], int],
        max_pixels: int,
        max_queued: int,
        queue_timeout_s: float,
        metrics: Metrics,
    ) -> None:
        self._max_concurrency = max_concurrency
        self._max_pixels = max_pixels
        self._max_queued = max_queued
        self._queue_timeout_s = queue_timeout_s
        self._metrics = metrics
        self._running = 0
        self._pixels = 0
        self._mean_duration_s = 0.0
        self._queue = FairQueue()

    async def acquire(self, policy: CallerPolicy, pixels: int, cost: int = 1) -> Flow:
        """Admit a request, after a wait if necessary. Call ``release`` with the returned flow afterwards.

        Args:
            policy: terms of the caller's service.
            pixels: image pixels of the request.
            cost: number of requests that it counts for in the share of the caller.

        Raises:
            Overloaded: the queue is full, or the request waited for ``queue_timeout_s``.
            QuotaExceeded: the API key has as many queued requests as it may have.
            DeadlineExceeded: the caller's deadline passed first.
        """
        queue = self._queue
        flow = queue.flow(policy)
        if queue.queued:
            # There are more slots than at the last release if workers became ready.
            self._admit_waiters()
        if self._fits(pixels) and queue.may_start(flow):
            self._take(flow, pixels, cost)
        else:
            await self._wait(flow, policy.deadline, pixels, cost)
        return flow

    def release(self, flow: Flow, pixels: int, seconds: float) -> None:
        """Release the slot of a request that ran for this many seconds."""
        self._mean_duration_s += (seconds - self._mean_duration_s) / 16
        flow.tenant.mean_duration_s += (seconds - flow.tenant.mean_duration_s) / 16
        self._release_slot(flow, pixels)

    def _fits(self, pixels: int) -> bool:
        pixels_fit = self._pixels + pixels <= self._max_pixels or not self._running
        return pixels_fit and self._running < max(1, self._max_concurrency())

    def _take(self, flow: Flow, pixels: int, cost: int) -> None:
        self._running += 1
        self._pixels += pixels
        self._queue.start(flow, cost)

    def _release_slot(self, flow: Flow, pixels: int) -> None:
        self._running -= 1
        self._pixels -= pixels
        self._queue.end(flow)
        if self._queue.queued:
            self._admit_waiters()

    def _admit_waiters(self) -> None:
        while (waiter := self._queue.first()) is not None and (waiter.admitted.done() or self._fits(waiter.pixels)):
            self._queue.discard(waiter)
            if not waiter.admitted.done():
                self._take(waiter.flow, waiter.pixels, waiter.cost)
                waiter.admitted.set_result(None)
        self._metrics.queued.set(self._queue.queued)

    async def _wait(self, flow: Flow, deadline: float | None, pixels: int, cost: int) -> None:
        self._make_room(flow)
        waiter = self._queue.add(flow, pixels, cost, asyncio.get_running_loop().create_future())
        self._admit_waiters()
        remaining_s = math.inf if deadline is None else deadline - time.time()
        queued_at = time.perf_counter()
        try:
            with self._metrics.stage("admission"), queue_time():
                async with asyncio.timeout(min(self._queue_timeout_s, remaining_s)):
                    await waiter.admitted
        except BaseException as error:
            eviction = self._leave(waiter)
            if not isinstance(error, TimeoutError):
                raise
            raise eviction or self._timed_out(flow, at_deadline=remaining_s < self._queue_timeout_s) from None
        finally:
            self._metrics.observe_queue_wait(flow.level.priority, time.perf_counter() - queued_at)

    def _make_room(self, flow: Flow) -> None:
        """Make sure that the queue has a place for a request of ``flow``, if necessary by rejecting a waiter.

        Raises:
            Overloaded, QuotaExceeded: the request itself must be rejected.
        """
        tenant = flow.tenant
        if tenant.queued >= tenant.max_queued:
            self._metrics.rejections.labels("key_queue_full").inc()
            wait_s = self._retry_after(flow)
            raise QuotaExceeded(
                f"This API key allows {tenant.max_queued} queued requests. Retry after {wait_s} s.", retry_after=wait_s
            )
        if self._queue.queued < self._max_queued:
            return
        victim = self._queue.victim(flow)
        if victim is None:
            raise self._overloaded("queue_full", flow)
        self._queue.discard(victim)
        if not victim.admitted.done():
            outranked = victim.flow.level.priority > flow.level.priority
            victim.admitted.set_exception(self._overloaded("outranked" if outranked else "fair_share", victim.flow))

    def _leave(self, waiter: Waiter) -> BaseException | None:
        """Give up the place or the slot of a waiter that no longer waits; return the error if it was evicted."""
        admitted = waiter.admitted
        eviction = None
        if admitted.cancelled() or not admitted.done():
            self._queue.discard(waiter)
            self._admit_waiters()
        elif (eviction := admitted.exception()) is None:
            self._release_slot(waiter.flow, waiter.pixels)
        return eviction

    def _timed_out(self, flow: Flow, *, at_deadline: bool) -> SarlensError:
        if not at_deadline:
            return self._overloaded("queue_timeout", flow)
        self._metrics.rejections.labels("deadline").inc()
        return DeadlineExceeded("The deadline passed while the request was queued.")

    def _overloaded(self, reason: Rejection, flow: Flow) -> Overloaded:
        self._metrics.rejections.labels(reason, key=flow.tenant.name).inc()
        return Overloaded(
            "The gateway is overloaded: too many requests are queued.", retry_after=self._retry_after(flow)
        )

    def _retry_after(self, flow: Flow) -> int:
        """Estimate when a new request of ``flow`` would run to its end, in seconds from 1 to 60."""
        wait_s = (self._queue.ahead(flow) + 1) * self._mean_duration_s / max(1, self._max_concurrency())
        tenant = flow.tenant
        own_s = (tenant.queued + 1) * tenant.mean_duration_s / tenant.max_parallel
        return max(1, min(_MAX_RETRY_AFTER_S, math.ceil(max(wait_s, own_s))))
