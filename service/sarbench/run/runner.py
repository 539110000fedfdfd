"""Concurrent execution of a run: send each unanswered sample and log its answer or failure."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sarbench.dataset.rows import Sample
from sarbench.errors import RunError, SarbenchError
from sarbench.run.answers import Answer, Outcome, Text
from sarbench.run.config import RunConfig
from sarbench.run.endpoint import RATE_LIMITED, ChatEndpoint, RequestFailed
from sarbench.run.images import RequestImages
from sarbench.run.jsonl_log import JsonlLog

MAX_CONSECUTIVE_FAILURES = 20
"""Consecutive failed samples after which the run stops."""


@dataclass
class RunProgress:
    """Counts of samples with and without a response. ``outcomes`` counts the responses."""

    answered: int = 0
    failed: int = 0
    consecutive_failures: int = 0
    rate_limited: int = 0
    """Responses with status 429, each of which waits before its next attempt."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)


@dataclass(frozen=True)
class Runner:
    """The dependencies for running one sample."""

    config: RunConfig
    images: RequestImages
    endpoint: ChatEndpoint
    attempts: int
    answers: JsonlLog
    errors: JsonlLog
    progress: RunProgress

    async def run_sample(self, sample: Sample) -> None:
        """Request the answer to one sample and log the answer or the failure.

        Raises:
            RunError: the endpoint is unavailable, or the log cannot be written.
        """
        started_at = time.monotonic()

        def record(attempt: int, failure: RequestFailed) -> None:
            timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = {
                "key": sample.key,
                "attempt": attempt,
                "status": failure.status,
                "error": failure.reason,
                "at": timestamp,
            }
            self.errors.append(line)
            self.progress.rate_limited += failure.status == RATE_LIMITED

        try:
            image_url = await self._image_url(sample, record)
            completion = await self.endpoint.complete_with_retries(
                self.config.request_body(sample, image_url), self.attempts, record
            )
        except RequestFailed as failure:
            self._count_failure(failure)
        else:
            answer = Answer.of(Text.from_sample(sample), completion, time.monotonic() - started_at)
            self.answers.append(answer.record())
            self.progress.answered += 1
            self.progress.outcomes[answer.outcome] += 1
            self.progress.consecutive_failures = 0

    async def _image_url(self, sample: Sample, record: Callable[[int, RequestFailed], None]) -> dict[str, Any]:
        try:
            return await self.images.image_url(sample.image, self.config.render_fields(sample))
        except RequestFailed as failure:
            record(1, failure)
            raise

    def _count_failure(self, failure: RequestFailed) -> None:
        """Count a failure, and stop the run after too many consecutive failures.

        Once the endpoint has answered, a failure that isn't retryable (such as a corrupt image) doesn't count towards
        the limit.
        """
        self.progress.failed += 1
        self.progress.consecutive_failures += failure.retryable or not self.progress.answered
        if self.progress.consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
            raise RunError(
                f"{MAX_CONSECUTIVE_FAILURES} consecutive texts failed, the last with: {failure.reason}. "
                f"{self.progress.answered} new answers are saved; run the same command to resume"
            )


async def run_all(samples: Iterable[Sample], runner: Runner, concurrency: int, on_sample: Callable[[], None]) -> None:
    """Run every sample, at most ``concurrency`` at once. ``on_sample`` is called after each.

    Raises:
        SarbenchError: the run cannot continue. Logged answers are kept.
    """
    remaining = iter(samples)
    lock = asyncio.Lock()

    async def work() -> None:
        while (sample := await _next_sample(remaining, lock)) is not None:
            await runner.run_sample(sample)
            on_sample()

    error: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except* SarbenchError as group_error:
        error = group_error.exceptions[0]
    if error:
        raise error


async def _next_sample(remaining: Iterator[Sample], lock: asyncio.Lock) -> Sample | None:
    """Return the next sample, read in a thread because the iterator can block on disk or network."""
    async with lock:
        return await asyncio.to_thread(next, remaining, None)
