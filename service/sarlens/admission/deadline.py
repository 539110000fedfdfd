"""The time after which an answer is of no use to its caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from sarlens.errors import DeadlinePassed


def in_time(deadline: float | None) -> AbstractAsyncContextManager[None]:
    """Cancel what runs inside at the deadline, in seconds since 1970; None is never.

    Raises:
        DeadlinePassed: it came, or had come before.
    """
    return nullcontext() if deadline is None else _until(deadline)


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(deadline - time.time()) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlinePassed("The deadline came before the answer.") from None
