"""Batch runner: validates the input of a batch, runs its lines, and writes its results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from sarlens.batches.file_service import FileService
from sarlens.batches.input_file import InputError, InputFile, InputLimits
from sarlens.batches.line import LineClient
from sarlens.batches.line_runner import LineRunner
from sarlens.batches.results import ResultFiles
from sarlens.batches.spec import BatchSpec
from sarlens.batches.storage import in_thread, temporary_file, write_to
from sarlens.errors import FileNotFound, FilesUnavailable, JobsUnavailable, SarlensError, Unauthenticated
from sarlens.imagery.sources.s3_files import S3Files
from sarlens.jobs.batches import Batch
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.observability.metrics import Metrics
from sarlens.surveys.retry import JobSuspended, retry_transient

_WATCH_INTERVAL_S = 1.0
_STATUSES = {
    "completed": JobStatus.SUCCESSFUL,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.DISMISSED,
    "expired": JobStatus.DISMISSED,
}


class BatchLimits(NamedTuple):
    """Limits of batches."""

    input: InputLimits
    max_concurrent_lines: int
    retry_timeout_s: float
    """Time in seconds during which a line is tried again while workers or stores fail."""


class _End(NamedTuple):
    """How the lines of a batch ended."""

    status: str
    error: InputError | None = None


class BatchRunner:
    """Runs batches of this process."""

    def __init__(
        self,
        store: JobStore,
        files: FileService,
        s3_files: S3Files,
        results: ResultFiles,
        client: LineClient,
        limits: BatchLimits,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._files = files
        self._s3_files = s3_files
        self._results = results
        self._client = client
        self._limits = limits
        self._metrics = metrics

    async def run(self, job: Job, stopping: asyncio.Event, on_progress: Callable[[], None]) -> JobStatus:
        """Run the lines of a batch that have no result, and return the final status of its job.

        Raises:
            JobSuspended: ``stopping`` was set, and the lines in progress have results; or the storage failed.
            JobsUnavailable: the job database failed for the retry timeout.
            JobNotActive: the batch has ended.
        """
        batch, spec = await self._store.batches.find(job.id), BatchSpec.model_validate_json(job.request)
        if batch.ended is None:
            end = await self._run(batch, spec, stopping, on_progress)
            await self._end(batch, spec, end)
            batch = await self._store.batches.find(job.id)
        await self._store.batches.delete_lines(job.id)
        if spec.input_url is not None:
            await self._files.storage.delete(_copy_name(job.id))
        return _STATUSES[batch.ended or "failed"]

    async def _run(
        self, batch: Batch, spec: BatchSpec, stopping: asyncio.Event, on_progress: Callable[[], None]
    ) -> _End:
        if batch.total is None and batch.canceling is not None:
            return _End("cancelled")
        try:
            async with self._open_input(batch, spec, stopping) as path:
                lines = InputFile(path, self._limits.input)
                errors = await self._prepare(batch, spec, lines)
                if errors:
                    await self._store.batches.update(batch.job, errors=_to_json(errors))
                    return _End("failed")
                runner = LineRunner(
                    batch,
                    spec,
                    lines,
                    self._client,
                    self._store,
                    self._metrics,
                    on_progress,
                    self._limits.max_concurrent_lines,
                    self._limits.retry_timeout_s,
                )
                return await self._run_lines(runner, stopping)
        except JobsUnavailable:
            raise
        except SarlensError as error:
            return _End("failed", InputError(error.code, error.message, error.param or "input_file_id"))

    @asynccontextmanager
    async def _open_input(self, batch: Batch, spec: BatchSpec, stopping: asyncio.Event) -> AsyncIterator[Path]:
        """Yield the path of the input. An object of S3 is copied first, so that a later version doesn't matter."""
        storage, timeout_s = self._files.storage, self._limits.retry_timeout_s
        name, max_bytes = batch.input or _copy_name(batch.job), self._limits.input.max_bytes
        if spec.input_url is not None and batch.total is None:
            async with temporary_file(storage) as path:
                url = spec.input_url
                await retry_transient(lambda: write_to(path, self._s3_files.read(url, max_bytes)), timeout_s, stopping)
                await storage.put(name, path)
        if (local := storage.path_of(name)) is not None:
            yield local
            return
        async with temporary_file(storage) as path:
            await retry_transient(lambda: write_to(path, storage.read(name, max_bytes)), timeout_s, stopping)
            yield path

    async def _prepare(self, batch: Batch, spec: BatchSpec, lines: InputFile) -> Sequence[InputError]:
        """Find the lines, and validate them unless an earlier run did."""
        if batch.total is not None:
            await in_thread(lines.scan)
            return ()
        errors = await in_thread(lines.validate, spec.endpoint)
        if not errors:
            await self._store.batches.update(batch.job, total=len(lines), validated=database_time())
        return errors

    async def _run_lines(self, runner: LineRunner, stopping: asyncio.Event) -> _End:
        """Run the lines until all have results, or the batch is canceled, expires or fails."""
        running = asyncio.create_task(runner.run(stopping))
        watching = asyncio.create_task(self._watch(runner.batch))
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            end = self._result(running) if running.done() else watching.result()
        finally:
            running.cancel()
            watching.cancel()
            await asyncio.gather(running, watching, return_exceptions=True)
        if end.status == "expired":
            await runner.abandon()
            await runner.expire()
        elif end.status == "cancelled":
            await runner.abandon()
        return end

    def _result(self, running: asyncio.Task[None]) -> _End:
        try:
            running.result()
        except ExceptionGroup as group:
            error = next((error for error in group.exceptions if isinstance(error, _EXPECTED_ERRORS)), group)
            if isinstance(error, FilesUnavailable):
                raise JobSuspended from None
            if isinstance(error, Unauthenticated):
                return _End("failed", InputError(error.code, error.message))
            raise error from None
        return _End("completed")

    async def _watch(self, batch: Batch) -> _End:
        """Return when the batch is canceled, expires, or the jobs of its owner are too large."""
        while True:
            try:
                canceling, expires = await self._store.batches.stop_times(batch.job)
                if canceling is not None:
                    return _End("cancelled")
                if time.time() >= expires:
                    return _End("expired")
                if await self._store.owners_over_limit({batch.owner}):
                    error = self._store.limits.too_large()
                    return _End("failed", InputError(error.code, error.message))
            except JobsUnavailable:
                pass  # the lines in progress wait for the database
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _end(self, batch: Batch, spec: BatchSpec, end: _End) -> None:
        """Write the result files and the final status. If S3 rejects them, they become files of the gateway.

        Raises:
            JobSuspended: the storage failed; a later run tries again.
        """
        await self._store.batches.update(batch.job, finalizing=database_time())
        errors = [end.error] if end.error is not None else []
        try:
            try:
                results = await self._results.write(batch, spec)
            except SarlensError as error:
                if spec.output is None or isinstance(error, (JobsUnavailable, FilesUnavailable)):
                    raise
                errors.append(InputError(error.code, error.message, "output"))
                results = await self._results.write(batch, spec.model_copy(update={"output": None}))
        except FilesUnavailable:
            raise JobSuspended from None
        values = {"errors": _to_json(errors)} if errors else {}
        await self._store.batches.end(batch.job, end.status, **results._asdict(), **values)


_EXPECTED_ERRORS = (Unauthenticated, JobNotActive, JobsUnavailable, FilesUnavailable, FileNotFound)
"""Errors of lines that end a run."""


def _copy_name(job_id: str) -> str:
    """Return the name of the copy of an input of S3 in the storage."""
    return f"input-{job_id}"


def _to_json(errors: Sequence[InputError]) -> str:
    return orjson.dumps([error._asdict() for error in errors]).decode()
