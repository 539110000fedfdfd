"""How many requests are at work: a bounded number, and a bounded queue before them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

from sarlens.errors import DeadlinePassed, Overloaded
from sarlens.metrics import Metrics, Shed
from sarlens.request import Terms

_MOST_S = 60


@dataclass(order=True, slots=True)
class _Waiter:
    """One in the queue: a lower priority goes first, then who came first."""

    priority: int
    number: int
    pixels: int = field(compare=False)
    admitted: asyncio.Future[None] = field(compare=False)


class Gate:
    """Lets ``places()`` requests work at the same time, with at most ``pixels`` pixels among them.

    Beyond that ``queue`` requests wait, at most ``queue_s`` seconds or until their deadline; whoever comes when the
    queue is full is refused at once, unless somebody of lower rank waits, who is then refused instead.
    """

    def __init__(self, *, places: Callable[[], int], pixels: int, queue: int, queue_s: float, metrics: Metrics) -> None:
        self._places = places
        self._most_pixels = pixels
        self._queue = queue
        self._queue_s = queue_s
        self._metrics = metrics
        self._running = 0
        self._pixels = 0
        self._mean_s = 0.0
        self._waiting: list[_Waiter] = []
        self._numbers = count()

    async def enter(self, terms: Terms, pixels: int) -> None:
        """Get a place for a request whose pictures have so many pixels; it has to be left again.

        Raises:
            Overloaded: there is no place, or none came in time.
            DeadlinePassed: the caller's deadline came first.
        """
        if self._waiting or not self._fits(pixels):
            await self._wait(terms, pixels)
        else:
            self._take(pixels)

    def leave(self, pixels: int, seconds: float) -> None:
        """Give the place back after so many seconds."""
        self._mean_s += (seconds - self._mean_s) / 16
        self._release(pixels)

    def _fits(self, pixels: int) -> bool:
        room = self._pixels + pixels <= self._most_pixels or not self._running
        return room and self._running < max(1, self._places())

    def _take(self, pixels: int) -> None:
        self._running += 1
        self._pixels += pixels

    def _release(self, pixels: int) -> None:
        self._running -= 1
        self._pixels -= pixels
        while self._waiting and self._fits(self._waiting[0].pixels):
            waiter = heappop(self._waiting)
            if not waiter.admitted.done():
                self._take(waiter.pixels)
                waiter.admitted.set_result(None)
            self._metrics.queued.set(len(self._waiting))

    async def _wait(self, terms: Terms, pixels: int) -> None:
        self._make_room(terms.priority)
        waiter = _Waiter(terms.priority, next(self._numbers), pixels, asyncio.get_running_loop().create_future())
        heappush(self._waiting, waiter)
        self._metrics.queued.set(len(self._waiting))
        left = math.inf if terms.deadline is None else terms.deadline - time.time()
        try:
            with self._metrics.stage("admission"):
                async with asyncio.timeout(min(self._queue_s, left)):
                    await waiter.admitted
        except BaseException as error:
            self._give_up(waiter)
            if not isinstance(error, TimeoutError):
                raise
            if left < self._queue_s:
                self._metrics.shed.labels("deadline").inc()
                raise DeadlinePassed("The deadline came while the request waited for a worker.") from None
            raise self._overloaded("queue_timeout") from None

    def _make_room(self, priority: int) -> None:
        """Make sure of a place in the queue, where need be the last one's of lower rank."""
        if len(self._waiting) < self._queue:
            return
        last = max(self._waiting, default=None)
        if last is None or last.priority <= priority:
            raise self._overloaded("queue_full")
        self._remove(last)
        if not last.admitted.done():
            last.admitted.set_exception(self._overloaded("outranked"))

    def _give_up(self, waiter: _Waiter) -> None:
        if waiter.admitted.done() and not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
            self._release(waiter.pixels)
        else:
            self._remove(waiter)

    def _remove(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            heapify(self._waiting)
        self._metrics.queued.set(len(self._waiting))

    def _overloaded(self, reason: Shed) -> Overloaded:
        self._metrics.shed.labels(reason).inc()
        wait_s = (len(self._waiting) + 1) * self._mean_s / max(1, self._places())
        return Overloaded(
            "More requests are waiting than can be answered soon.", retry_after=max(1, min(_MOST_S, math.ceil(wait_s)))
        )
