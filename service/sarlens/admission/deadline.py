"""Deadlines of callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from sarlens.errors import DeadlineExceeded

T = TypeVar("T")


def before_deadline(deadline: float | None, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Return ``work``, canceled at ``deadline`` in seconds since the epoch; without a deadline, ``work`` itself.

    Raises:
        DeadlineExceeded: the deadline passed.
    """
    return work if deadline is None else _cancel_at(deadline, work)


async def _cancel_at(deadline: float, work: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(deadline - time.time()) as timeout:
            return await work
    except TimeoutError:
        if not timeout.expired():
            raise
        raise DeadlineExceeded("The deadline passed before the response began.") from None
