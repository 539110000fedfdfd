"""Progress events: wake the requests of this process that wait for a job."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from weakref import WeakValueDictionary


class ProgressEvents:
    """One event per job with a waiting request."""

    def __init__(self, poll_interval_s: float) -> None:
        """``poll_interval_s`` bounds the wait, for jobs that run in other processes."""
        self._poll_interval_s = poll_interval_s
        self._events: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def subscribe(self, job_id: str) -> asyncio.Event:
        """Return the event of a job. Clear it before you read the state of the job."""
        return self._events.setdefault(job_id, asyncio.Event())

    async def wait(self, event: asyncio.Event) -> None:
        """Wait for the event, at most for the poll interval."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), self._poll_interval_s)

    def notify(self, job_id: str) -> None:
        """Wake all requests that wait for a job."""
        event = self._events.get(job_id)
        if event is not None:
            event.set()
