"""Which errors pass, which end a survey, and trying again for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

from sarlens.errors import (
    AccessDenied,
    NotFound,
    NoWorker,
    Overloaded,
    QuotaExceeded,
    SourceChanged,
    SourceUnavailable,
    Timeout,
    Unauthenticated,
    WorkerFailed,
)

PASSING = (NoWorker, Overloaded, WorkerFailed, SourceUnavailable, Timeout, QuotaExceeded)
FATAL = (SourceChanged, NotFound, AccessDenied, Unauthenticated)

T = TypeVar("T")


async def patiently(work: Callable[[], Coroutine[Any, Any, T]], patience_s: float) -> T:
    """What ``work`` gives, tried again for a while where workers or the store are not there."""
    until = monotonic() + patience_s
    while True:
        try:
            return await work()
        except PASSING:
            if monotonic() > until:
                raise
            await asyncio.sleep(1)
