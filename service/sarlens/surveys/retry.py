"""Retries: transient and permanent errors of a survey, and the pauses between attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from sarlens.errors import (
    AccessDenied,
    FilesUnavailable,
    ImageNotFound,
    JobsUnavailable,
    ModelNotFound,
    NoWorkerAvailable,
    Overloaded,
    QuotaExceeded,
    SarlensError,
    SourceChanged,
    SourceUnavailable,
    Timeout,
    Unauthenticated,
    WorkerFailed,
)

TRANSIENT_ERRORS = (
    ModelNotFound,
    NoWorkerAvailable,
    Overloaded,
    WorkerFailed,
    SourceUnavailable,
    Timeout,
    QuotaExceeded,
    JobsUnavailable,
    FilesUnavailable,
)
"""Errors that a later attempt can resolve. The model was served at submission, so a missing model can return."""
PERMANENT_ERRORS = (SourceChanged, ImageNotFound, AccessDenied, Unauthenticated)
"""Errors that end a survey."""

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0

T = TypeVar("T")


class JobSuspended(Exception):
    """The process drains, or another owner has its turn; the job continues later."""


class Backoff:
    """Pauses between attempts: ``FIRST_PAUSE_S``, doubled up to ``MAX_PAUSE_S``, until ``timeout_s`` have passed.

    A random factor between 0.5 and 1 spreads the attempts of many tiles.
    """

    def __init__(self, timeout_s: float) -> None:
        self._expires_at = monotonic() + timeout_s
        self._pause_s = FIRST_PAUSE_S

    def next_pause_s(self, error: SarlensError) -> float:
        """Return the pause before the next attempt in seconds; the error's ``retry_after`` replaces the doubled pause.

        Raises:
            SarlensError: ``error``, if the timeout has passed.
        """
        if monotonic() > self._expires_at:
            raise error
        pause_s = error.retry_after or self._pause_s
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        return pause_s * random.uniform(0.5, 1)  # noqa: S311


async def pause(pause_s: float, stopping: asyncio.Event | None) -> None:
    """Sleep, unless ``stopping`` is set.

    Raises:
        JobSuspended: ``stopping`` is set.
    """
    if stopping is None:
        await asyncio.sleep(pause_s)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), pause_s)
        raise JobSuspended


async def retry_transient(
    work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float, stopping: asyncio.Event | None = None
) -> T:
    """Return the result of ``work``; retry transient errors for ``timeout_s`` seconds, or until ``stopping`` is set.

    Raises:
        SarlensError: a permanent error, or the transient error of the last attempt.
        JobSuspended: ``stopping`` is set before the next attempt.
    """
    backoff = Backoff(timeout_s)
    while True:
        try:
            return await work()
        except TRANSIENT_ERRORS as error:
            pause_s = backoff.next_pause_s(error)
        await pause(pause_s, stopping)
