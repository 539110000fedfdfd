"""Whether the gateway still takes work, and how much of it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sarlens.errors import Draining


class Duty:
    """Counts ``open`` requests, so that the last one can be waited for; none are taken while ``draining``."""

    def __init__(self) -> None:
        self.draining = False
        self.open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request under way.

        Raises:
            Draining: no more are taken.
        """
        if self.draining:
            raise Draining("This gateway is going down; ask another one.", retry_after=1)
        self.open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.open -= 1
            if not self.open:
                self._idle.set()

    async def drain(self, grace_s: float) -> int:
        """Take no more work, and wait for what is open; the number of requests that are open still."""
        self.draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        return self.open
