"""Line runner: runs the lines of one batch, with retries, and commits each result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from sarlens.batches.input_file import InputFile
from sarlens.batches.line import BatchLine, LineClient, LineResponse, result_document, unanswered_document
from sarlens.batches.spec import BatchSpec
from sarlens.batches.storage import in_thread
from sarlens.errors import ModelNotFound, QuotaExceeded, SarlensError
from sarlens.jobs.batches import Batch, LineResult
from sarlens.jobs.store import JobStore
from sarlens.json_input import run_off_loop
from sarlens.observability.metrics import Metrics
from sarlens.runtime.task_group import TaskGroup
from sarlens.surveys.retry import TRANSIENT_ERRORS, Backoff, JobSuspended, pause, retry_transient

_TRANSIENT_ERRORS = tuple(error for error in TRANSIENT_ERRORS if error is not ModelNotFound)
"""Errors that a later attempt can resolve. No line was checked against the models, so a missing one can be a typo."""
_EXPIRED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class LineRunner:
    """Runs lines of a batch in this process."""

    batch: Batch
    spec: BatchSpec
    lines: InputFile
    client: LineClient
    store: JobStore
    metrics: Metrics
    on_progress: Callable[[], None]
    max_concurrent_lines: int
    retry_timeout_s: float

    async def run(self, stopping: asyncio.Event) -> None:
        """Run all lines without a result.

        Raises:
            JobSuspended: ``stopping`` was set, and the lines in progress have results.
            ExceptionGroup: of Unauthenticated if the API key is removed, of JobNotActive if the batch has ended, or of
                JobsUnavailable if the database failed for the retry timeout.
        """
        slots = asyncio.Semaphore(self.max_concurrent_lines)
        async with TaskGroup() as tasks:
            for index in await self._unfinished():
                await slots.acquire()
                if stopping.is_set():
                    break
                running = tasks.create_task(self._run_line(index, stopping))
                running.add_done_callback(lambda _: slots.release())
        if stopping.is_set() and await self._unfinished():
            raise JobSuspended

    async def expire(self) -> None:
        """Give each line without a result the error that it has expired."""
        unfinished = iter(await self._unfinished())
        while some := list(islice(unfinished, _EXPIRED_AT_ONCE)):
            await asyncio.gather(*(self._expire_line(index) for index in some))

    async def abandon(self) -> None:
        """End what the lines without a result have begun."""
        for index in await self._unfinished():
            await self.client.abandon(self.batch.owner, self._request_id(index), await self._read(index))

    async def _unfinished(self) -> Sequence[int]:
        finished = await self.store.batches.finished_lines(self.batch.job)
        return [index for index in range(len(self.lines)) if index not in finished]

    async def _run_line(self, index: int, stopping: asyncio.Event) -> None:
        line = await self._read(index)
        try:
            response = await self._ask(line, self._request_id(index), stopping)
        except JobSuspended:
            return  # the other lines in progress finish
        document = result_document(self._line_id(index), line.custom_id, self._request_id(index), response)
        await self._commit(LineResult(index, response.status >= 400, document))

    async def _ask(self, line: BatchLine, request_id: str, stopping: asyncio.Event) -> LineResponse:
        """Return the response to a line. Transient errors are retried until the timeout, quotas until the batch ends.

        Raises:
            JobSuspended: ``stopping`` is set before the next attempt.
        """
        backoff = Backoff(self.retry_timeout_s)
        while True:
            response = await self.client.run(self.batch.owner, request_id, line)
            error = response.error
            if not isinstance(error, _TRANSIENT_ERRORS):
                return response
            if isinstance(error, QuotaExceeded):
                backoff = Backoff(self.retry_timeout_s)
            try:
                pause_s = backoff.next_pause_s(error)
            except SarlensError:
                return response
            await pause(pause_s, stopping)

    async def _expire_line(self, index: int) -> None:
        line = await self._read(index)
        message = "The request didn't run before the completion window of the batch ended."
        document = unanswered_document(self._line_id(index), line.custom_id, "batch_expired", message)
        await self._commit(LineResult(index, failed=True, document=document))

    async def _commit(self, result: LineResult) -> None:
        """Write a result. While the database fails, keep the result and its slot, so that few lines wait."""
        write = partial(self.store.batches.write_line, self.batch.job, result)
        await retry_transient(write, self.retry_timeout_s)
        self.metrics.batch_lines.labels("failed" if result.failed else "completed").inc()
        self.on_progress()

    async def _read(self, index: int) -> BatchLine:
        data = await in_thread(self.lines.read, index)
        return await run_off_loop(len(data), partial(BatchLine.parse, data, self.spec.endpoint))

    def _request_id(self, index: int) -> str:
        return f"{self.batch.job}-{index}"

    def _line_id(self, index: int) -> str:
        return f"batch_req_{self.batch.job}_{index}"
