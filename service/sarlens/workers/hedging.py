"""Hedged requests: a second attempt starts if the first is slow, and the first success wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def hedged_request(
    attempts: tuple[Callable[[], Coroutine[Any, Any, T]], Callable[[], Coroutine[Any, Any, T]]],
    *,
    after_s: float,
    may_hedge: Callable[[], bool],
    discard: Callable[[T], Awaitable[None]],
) -> T:
    """Return the result of the first attempt that succeeds.

    The second attempt starts after ``after_s`` seconds if ``may_hedge()`` allows it. The losing attempt is canceled;
    a result that it already has goes to ``discard``.

    Raises:
        Exception: both attempts failed; the exception is that of the last.
    """
    first = asyncio.create_task(attempts[0]())
    running = {first}
    winner: asyncio.Task[T] | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=after_s)
        if not done and may_hedge():
            running.add(asyncio.create_task(attempts[1]()))
        pending = set(running)
        while winner is None and pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task in done if task.exception() is None), None)
        return (winner or done.pop()).result()
    finally:
        for task in running - {winner}:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                await discard(task.result())
