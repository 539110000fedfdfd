"""Triton's model statistics: number, duration and failures of inferences."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ModelCounters:
    """Counters of one model; ``inferences`` counts batch elements, times are in ns."""

    inferences: int = 0
    requests: int = 0
    last_ms: int = 0
    succeeded: int = 0
    succeeded_ns: int = 0
    failed: int = 0
    failed_ns: int = 0


class Statistics:
    """Counts requests of the Open Inference Protocol by model, since the start of this process.

    Only models that workers serve are counted, so callers can't grow the table.
    """

    def __init__(self) -> None:
        self._counters: dict[str, ModelCounters] = {}

    @contextmanager
    def record(self, model: str, inferences: int) -> Iterator[None]:
        """Count one request with this many inferences, and its duration."""
        counters, started_at = self._counters.setdefault(model, ModelCounters()), time.perf_counter_ns()
        try:
            yield
        except BaseException:
            counters.failed += 1
            counters.failed_ns += time.perf_counter_ns() - started_at
            raise
        counters.succeeded += 1
        counters.succeeded_ns += time.perf_counter_ns() - started_at
        counters.requests += 1
        counters.inferences += inferences
        counters.last_ms = time.time_ns() // 1_000_000

    def snapshot(self, model: str) -> dict[str, Any]:
        """Return ``ModelStatistics``; an execution is one request, since vLLM batches tokens and not requests."""
        counters = self._counters.get(model) or ModelCounters()
        return {
            "name": model,
            "version": "1",
            "last_inference": counters.last_ms,
            "inference_count": counters.inferences,
            "execution_count": counters.requests,
            "inference_stats": {
                "success": {"count": counters.succeeded, "ns": counters.succeeded_ns},
                "fail": {"count": counters.failed, "ns": counters.failed_ns},
            },
        }
