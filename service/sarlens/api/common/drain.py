"""Graceful shutdown: open requests complete, new ones are rejected."""

from __future__ import annotations

import asyncio
from types import TracebackType

from sarlens.errors import Draining


class DrainController:
    """Counts the requests in flight; while ``draining``, the gateway accepts no more."""

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
        self._idle: asyncio.Event | None = None
        """Set when the last request has ended; None until ``drain`` waits for it."""

    def track_request(self) -> InFlight:
        """Count one request as in flight within the ``with`` block.

        Raises:
            Draining: the gateway is shutting down.
        """
        if self.draining:
            raise Draining("The gateway is shutting down. Send the request to another replica.", retry_after=1)
        return InFlight(self)

    def end_request(self) -> None:
        """Count a request as ended."""
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()

    async def drain(self, timeout_s: float) -> int:
        """Reject new requests and wait for those in flight; returns how many are in flight after ``timeout_s``."""
        self.draining = True
        if not self.in_flight:
            return 0
        self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        return self.in_flight


class InFlight:
    """A request in flight within a ``with`` block."""

    __slots__ = ("_controller",)

    def __init__(self, controller: DrainController) -> None:
        self._controller = controller

    def __enter__(self) -> None:
        self._controller.in_flight += 1

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._controller.end_request()
