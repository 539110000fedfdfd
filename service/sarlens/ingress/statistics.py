"""What Triton's clients ask of a model's past: how many inferences, how long they took, how many failed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Past:
    inferences: int = 0
    requests: int = 0
    last_ms: int = 0
    succeeded: int = 0
    succeeded_ns: int = 0
    failed: int = 0
    failed_ns: int = 0


class Statistics:
    """Counts requests of the Open Inference Protocol by model, since this process began.

    The models are those that workers serve, so that their number is bounded by them and not by callers.
    """

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    @contextmanager
    def request(self, model: str, inferences: int) -> Iterator[None]:
        """Count a request that asks a model for a number of inferences."""
        past, begun = self._past.setdefault(model, _Past()), time.perf_counter_ns()
        try:
            yield
        except BaseException:
            past.failed += 1
            past.failed_ns += time.perf_counter_ns() - begun
            raise
        past.succeeded += 1
        past.succeeded_ns += time.perf_counter_ns() - begun
        past.requests += 1
        past.inferences += inferences
        past.last_ms = time.time_ns() // 1_000_000

    def of(self, model: str) -> dict[str, Any]:
        """``ModelStatistics`` of the protocol; an execution is a request, since vLLM batches tokens."""
        past = self._past.get(model) or _Past()
        return {
            "name": model,
            "version": "1",
            "last_inference": past.last_ms,
            "inference_count": past.inferences,
            "execution_count": past.requests,
            "inference_stats": {
                "success": {"count": past.succeeded, "ns": past.succeeded_ns},
                "fail": {"count": past.failed, "ns": past.failed_ns},
            },
        }
