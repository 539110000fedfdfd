"""How many bytes of bodies are in memory at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sarlens.errors import Overloaded
from sarlens.metrics import Metrics


class Memory:
    """Room for ``limit`` bytes of request bodies, all requests together."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._shed = metrics.shed.labels("memory")
        self.held = 0

    @contextmanager
    def holding(self) -> Iterator[Holding]:
        """One request's part, given back with the context."""
        holding = Holding(self)
        try:
            yield holding
        finally:
            self.held -= holding.size

    def take(self, size: int) -> None:
        """Count bytes as held.

        Raises:
            Overloaded: there is no room for them.
        """
        if self.held + size > self._limit:
            self._shed.inc()
            raise Overloaded("The bodies of other requests fill the memory that there is for them.", retry_after=1)
        self.held += size


class Holding:
    """What one request holds; it grows, and is never smaller than it was."""

    __slots__ = ("_memory", "size")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.size = 0

    def grow(self, size: int) -> None:
        """Hold at least ``size`` bytes.

        Raises:
            Overloaded: there is no room for them.
        """
        if size > self.size:
            self._memory.take(size - self.size)
            self.size = size
