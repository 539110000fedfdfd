"""Two tries at one thing: the second begins where the first is slow, and the first to succeed wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def hedged(
    tries: tuple[Callable[[], Coroutine[Any, Any, T]], Callable[[], Coroutine[Any, Any, T]]],
    *,
    after_s: float,
    allowed: Callable[[], bool],
    discard: Callable[[T], Awaitable[None]],
) -> T:
    """The outcome of the first try, or of the second, begun ``after_s`` seconds later where it is ``allowed``.

    A loser is cancelled, and what it had already brought goes to ``discard``.

    Raises:
        Exception: what the last of those that were begun raised, when none succeeds.
    """
    first = asyncio.create_task(tries[0]())
    running = {first}
    winner: asyncio.Task[T] | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=after_s)
        if not done and allowed():
            running.add(asyncio.create_task(tries[1]()))
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
