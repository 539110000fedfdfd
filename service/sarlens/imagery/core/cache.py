"""Caches bounded by size, and single flight: work that concurrent callers share."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from threading import Lock
from typing import Any, Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """A thread-safe cache of the least recently used kind, bounded by the total size of its values.

    ``hits`` and ``misses`` count the results of ``get``.

    Args:
        max_bytes: maximum total size, in the unit of ``getsizeof``. A larger value isn't cached.
        getsizeof: size of a value, in bytes or another unit.
    """

    def __init__(self, max_bytes: int, getsizeof: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0
        self._getsizeof = getsizeof
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of a key, which becomes the most recently used one, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self._entries.move_to_end(key)
            self.hits += 1
            return entry[0]

    def put(self, key: K, value: V) -> None:
        """Cache a value in place of an earlier one, and evict the least recently used values."""
        size = self._getsizeof(value)
        with self._lock:
            self._evict(key)
            if size > self.max_bytes:
                return
            self._entries[key] = (value, size)
            self.size_bytes += size
            while self.size_bytes > self.max_bytes:
                self._evict(next(iter(self._entries)))

    def drop(self, key: K) -> None:
        """Remove a key, if it is cached."""
        with self._lock:
            self._evict(key)

    def _evict(self, key: K) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self.size_bytes -= size


BlockCache: TypeAlias = LRUCache[tuple[str, int], bytes]
"""Bytes of source images by version of the image and index of the block."""


class _Flight(Generic[V]):
    """A running task and the number of callers that wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiters = 0


class SingleFlight(Generic[K, V]):
    """Concurrent callers with the same key share one task of one event loop.

    A caller that is canceled leaves the task to the others; if the last caller leaves, the task is canceled. An error
    reaches all callers that wait; the next caller starts a new task.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of the running task for this key, or of a new task for ``work``."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda task: self._finish(key, task))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._finish(key, flight.task)
                flight.task.cancel()

    def _finish(self, key: K, task: asyncio.Task[V]) -> None:
        """Remove a finished or abandoned flight, but not one that started after it."""
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
