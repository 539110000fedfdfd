"""What is not done twice: values kept within a budget, and work that concurrent callers share."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from threading import Lock
from typing import Any, Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLRU(Generic[K, V]):
    """The values used last, as many as weigh no more than ``limit`` together.

    ``weigh`` gives the weight of a value, in bytes or whatever ``limit`` counts. A value heavier than the limit is
    not kept. Threads may share it. ``hits`` and ``misses`` count what ``get`` found and did not.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int]) -> None:
        self.limit = limit
        self.weight = 0
        self.hits = 0
        self.misses = 0
        self._weigh = weigh
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """The value under a key, which counts as used now, or None."""
        with self._lock:
            entry = self._kept.get(key)
            if entry is None:
                self.misses += 1
                return None
            self._kept.move_to_end(key)
            self.hits += 1
            return entry[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value in place of what was under its key, and let go of those unused for longest."""
        weight = self._weigh(value)
        with self._lock:
            self._let_go(key)
            if weight > self.limit:
                return
            self._kept[key] = (value, weight)
            self.weight += weight
            while self.weight > self.limit:
                self._let_go(next(iter(self._kept)))

    def drop(self, key: K) -> None:
        """Forget a key, if it is there."""
        with self._lock:
            self._let_go(key)

    def _let_go(self, key: K) -> None:
        _, weight = self._kept.pop(key, (None, 0))
        self.weight -= weight


Blocks: TypeAlias = ByteLRU[tuple[str, int], bytes]
"""Bytes of source images, under the version of the image and the number of the block."""


class _Flight(Generic[V]):
    """Work under way and the number of callers who wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiting = 0


class SingleFlight(Generic[K, V]):
    """Concurrent callers for one key share one task of one event loop.

    A caller who is cancelled leaves the work to the others; when the last one leaves, it is cancelled. An error
    reaches everyone who waits, and whoever asks afterwards starts anew.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The outcome of the work under way for this key, or of ``work``, begun now."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda task: self._land(key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._land(key, flight.task)
                flight.task.cancel()

    def _land(self, key: K, task: asyncio.Task[V]) -> None:
        """Make room for the next flight; one that began after an abandoned one stays."""
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
