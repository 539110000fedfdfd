"""One timer for the deadlines of many connections."""

from __future__ import annotations

import asyncio
import time
from math import inf

from sarlens.workers.clients.http1.deadlines import Deadlines


class Member:
    """A connection that records when it expires."""

    def __init__(self, deadlines: Deadlines, expires_in_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.expires_at = self._loop.time() + expires_in_s
        self.expired_at: float | None = None
        self.ended = False
        deadlines.add(self)
        deadlines.notice(self.expires_at)

    def expire(self) -> None:
        """Record the time."""
        self.expired_at, self.expires_at = self._loop.time(), inf

    def shut_down(self) -> None:
        """Record the end."""
        self.ended = True


async def test_deadlines_pass_in_any_order_and_never_early() -> None:
    """Members expire at their deadlines, in whatever order they were set; one without a deadline never does."""
    deadlines = Deadlines()
    members = [Member(deadlines, seconds) for seconds in (0.15, 0.05, inf, 0.1)]
    due = [member.expires_at for member in members]
    await asyncio.sleep(0.3)
    for member, time_s in zip(members, due, strict=True):
        assert (member.expired_at is None) == (time_s == inf)
        assert member.expired_at is None or member.expired_at >= time_s
    deadlines.close()


async def test_a_later_deadline_needs_no_notice() -> None:
    """A deadline that moves later is checked at its new time, and a member that was removed never."""
    deadlines = Deadlines()
    moved, removed = Member(deadlines, 0.05), Member(deadlines, 0.05)
    due = moved.expires_at = moved.expires_at + 0.1
    deadlines.remove(removed)
    await asyncio.sleep(0.3)
    assert moved.expired_at is not None
    assert moved.expired_at >= due
    assert removed.expired_at is None


async def test_many_deadlines_share_one_timer() -> None:
    """A thousand deadlines, each later than the last, schedule one timer of the event loop."""
    loop, timers = asyncio.get_running_loop(), 0
    deadlines = Deadlines()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    for number in range(1000):
        Member(deadlines, 60 + number)
        timers = len(loop._scheduled) - before  # type: ignore[attr-defined]
    assert timers == 1
    deadlines.close()


async def test_a_busy_event_loop_reads_before_deadlines_pass() -> None:
    """If the timer is late, callbacks that were due run before the members expire."""
    deadlines, order = Deadlines(), list[str]()
    member = Member(deadlines, 0.02)
    member.expire = lambda: order.append("expired")  # type: ignore[method-assign]
    time.sleep(0.2)  # noqa: ASYNC251  the event loop is busy
    asyncio.get_running_loop().call_later(0.01, order.append, "read")
    await asyncio.sleep(0.1)
    assert order[:2] == ["read", "expired"]
    deadlines.close()


async def test_the_end_shuts_all_down() -> None:
    """``close`` shuts all members down, and no deadline passes after it."""
    deadlines = Deadlines()
    member = Member(deadlines, 0.03)
    deadlines.close()
    await asyncio.sleep(0.1)
    assert (member.ended, member.expired_at) == (True, None)
