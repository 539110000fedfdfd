"""Metrics of a process that no request measures: delays of the event loop, and threads that work on images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sarlens.observability.metrics import Metrics

_INTERVAL_S = 0.25


async def monitor_process(metrics: Metrics, image_tasks: Callable[[], int]) -> None:
    """Observe four times a second until canceled.

    Args:
        metrics: the metrics.
        image_tasks: returns the number of images that threads read, decode or render now.
    """
    time = asyncio.get_running_loop().time
    while True:
        due_at = time() + _INTERVAL_S
        await asyncio.sleep(_INTERVAL_S)
        metrics.loop_lag.observe(max(0.0, time() - due_at))
        metrics.image_tasks.set(image_tasks())
