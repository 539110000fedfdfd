"""Orderings of workers: the first is asked first, the next if that one cannot be reached."""

from __future__ import annotations

from collections.abc import Sequence


def least_load(loads: Sequence[int], turn: int) -> list[int]:
    """Indices of workers, the least loaded first; equals take turns.

    Args:
        loads: requests in flight, one number a worker.
        turn: a number that grows by one with each request.
    """
    count = len(loads)
    return sorted(range(count), key=lambda i: (loads[i], (i - turn) % count))
