"""Deadlines of all connections to workers, which share one timer."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol

_MIN_PERIOD_S = 0.02
"""Shortest time between two checks, which limits the cost of many deadlines."""
_LATE_S = 0.1
"""Delay of the timer that shows that the event loop was busy."""


class Expiring(Protocol):
    """A connection with a deadline."""

    expires_at: float
    """Time of the deadline, in seconds of the event loop's clock; infinite without one."""

    def expire(self) -> None:
        """End the connection, since its deadline has passed."""

    def shut_down(self) -> None:
        """End the connection, since the gateway ends."""


class Deadlines:
    """The open connections, whose deadlines one timer of the event loop checks.

    A deadline that is set to a later time needs no call: the next check finds the new time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._members: set[Expiring] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = inf
        self._gave_time = False

    def add(self, member: Expiring) -> None:
        """Check the deadlines of a connection until it is removed."""
        self._members.add(member)

    def remove(self, member: Expiring) -> None:
        """Check the deadlines of a connection no more."""
        self._members.discard(member)

    def notice(self, expires_at: float) -> None:
        """Make sure that a deadline is checked when it passes."""
        if expires_at < self._wakes_at:
            self._wake_at(expires_at)

    def close(self) -> None:
        """End all connections."""
        for member in list(self._members):
            member.shut_down()
        if self._timer is not None:
            self._timer.cancel()

    def _wake_at(self, time_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wakes_at = time_s
        if time_s < inf:
            self._timer = self._loop.call_at(time_s, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if now - self._wakes_at > _LATE_S and not self._gave_time:
            # Data may have arrived while the event loop was busy: it reads the sockets before the timer fires again.
            self._gave_time = True
            self._wake_at(now + _MIN_PERIOD_S)
            return
        self._gave_time = False
        for member in [member for member in self._members if member.expires_at <= now]:
            member.expire()
        earliest = min((member.expires_at for member in self._members), default=inf)
        self._wake_at(max(earliest, now + _MIN_PERIOD_S))
