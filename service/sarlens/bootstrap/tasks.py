"""Tasks that run as long as the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any


def run_until_exit(stack: AsyncExitStack, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine as a task, which the exit of ``stack`` cancels."""
    stack.push_async_callback(_cancel, asyncio.create_task(coroutine))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
