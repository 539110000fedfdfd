"""Progress events of waiting requests."""

from __future__ import annotations

import asyncio
import gc

from sarlens.surveys.progress import ProgressEvents


async def test_a_notification_wakes_all_requests_of_a_job() -> None:
    """Requests that wait for one job share an event; a notification of another job doesn't wake them."""
    progress = ProgressEvents(60.0)
    events = [progress.subscribe("a"), progress.subscribe("a")]
    waiting = [asyncio.create_task(progress.wait(event)) for event in events]
    await asyncio.sleep(0.01)
    progress.notify("b")
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    progress.notify("a")
    await asyncio.wait_for(asyncio.gather(*waiting), 5)


async def test_a_wait_ends_after_the_poll_interval() -> None:
    """Without a notification, the wait takes the poll interval."""
    loop = asyncio.get_running_loop()
    progress, started_at = ProgressEvents(0.1), loop.time()
    await progress.wait(progress.subscribe("a"))
    assert 0.09 <= loop.time() - started_at < 5


async def test_events_without_a_request_are_dropped() -> None:
    """An event has no entry after its last request."""
    progress = ProgressEvents(60.0)
    event = progress.subscribe("a")
    assert len(progress._events) == 1
    del event
    gc.collect()
    assert len(progress._events) == 0
    progress.notify("a")
