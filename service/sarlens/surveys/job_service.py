"""Job service: submit, find, wait for, dismiss and resume jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from sarlens.errors import BadRequest, JobNotFound
from sarlens.jobs.batches import BATCH
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.filters import AnswerFilter
from sarlens.jobs.models import Job, JobOwner, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.surveys.exporter import ResultExporter
from sarlens.surveys.job_executor import JobExecutor
from sarlens.surveys.planner import SurveyPlanner
from sarlens.surveys.retry import retry_transient
from sarlens.surveys.spec import SurveySpec

T = TypeVar("T")

_PAGE_SIZE = 500
_READ_RETRY_TIMEOUT_S = 600.0


class JobService:
    """Jobs of all API keys. The executor of this process or of another one runs them."""

    def __init__(
        self, store: JobStore, planner: SurveyPlanner, exporter: ResultExporter, executor: JobExecutor
    ) -> None:
        self.store = store
        self._planner = planner
        self._exporter = exporter
        self._executor = executor
        self._progress = executor.progress

    @property
    def output_prefixes(self) -> Collection[str]:
        """Prefixes below which the gateway writes results."""
        return self._exporter.output_prefixes

    async def submit(
        self,
        spec: SurveySpec,
        process: str,
        owner: JobOwner,
        key_prefixes: Collection[str] | None = None,
        job_id: str | None = None,
    ) -> Job:
        """Plan a survey and store its job.

        Args:
            spec: the survey.
            process: id of the process.
            owner: the caller.
            key_prefixes: prefixes that the caller may write results below, or None for all prefixes of the gateway.
            job_id: id of the job, or None for a new one.

        Raises:
            QuotaExceeded, PayloadTooLarge: the caller has too many unfinished jobs, or too much is stored.
            SarlensError: the survey isn't possible, or the database fails.
        """
        await self.store.check_owner(owner.name)
        output = await self._exporter.check(spec, key_prefixes)
        job = replace(await self._planner.new_job(spec, process, owner), output=output)
        if job_id is not None:
            self._planner.discard_plan(job.id)
            job = replace(job, id=job_id)
        return await self.enqueue(job)

    async def enqueue(self, job: Job) -> Job:
        """Store a job and return it."""
        await self.store.add(job)
        self._executor.wake()
        return job

    async def find(self, job_id: str, owner: str | None) -> Job:
        """Return a job of an owner, or of any owner if ``owner`` is None. Batches have a service of their own.

        Raises:
            JobNotFound: the owner has no such job.
        """
        job = await self.store.find(job_id)
        if job is None or job.process == BATCH or owner not in {None, job.owner}:
            raise JobNotFound(f"Job {job_id[:64]!r} doesn't exist.")
        return job

    async def dismiss(self, job: Job) -> Job:
        """Cancel an active job, or delete a completed one with its answers."""
        end = {"status": JobStatus.DISMISSED, "finished": database_time(), "message": "Dismissed."}
        if await self.store.update_active(job.id, **end):
            self._planner.discard_plan(job.id)
            self._executor.cancel(job.id)
            self._progress.notify(job.id)
            return await self.find(job.id, None)
        await self.store.delete([job.id])
        return replace(job, status=JobStatus.DISMISSED, message="Dismissed.")

    async def resume(self, job: Job) -> Job:
        """Continue a failed or dismissed job with the tiles that failed or have no result. An active job continues.

        Raises:
            BadRequest: the job is successful.
            OutputExists, QuotaExceeded, PayloadTooLarge: as ``JobStore.resume``.
        """
        if job.status is JobStatus.SUCCESSFUL:
            raise BadRequest("The survey is successful, so there is nothing to resume.")
        if await self.store.resume(job):
            self._executor.wake()
        return await self.find(job.id, None)

    async def stream_answers(self, job_id: str) -> AsyncGenerator[list[str]]:
        """Yield pages of answers as GeoJSON features, in the order of their commits, until the job is complete."""
        after = 0
        event = self._progress.subscribe(job_id)
        while True:
            event.clear()
            job = await _retried(lambda: self.store.find(job_id))
            while page := await _retried(
                lambda after=after: self.store.list_answers(AnswerFilter(job=job_id, after=after, limit=_PAGE_SIZE))  # type: ignore[misc]
            ):
                after = page[-1][0]
                yield [feature for _, feature in page]
            if job is None or job.status.is_terminal:
                return
            await self._progress.wait(event)

    async def stream_objects(self, job_id: str) -> AsyncGenerator[list[str]]:
        """Yield pages of the objects of a complete job as GeoJSON features."""
        after = 0
        while page := await _retried(
            lambda after=after: self.store.list_answers(  # type: ignore[misc]
                AnswerFilter(job=job_id, after=after, limit=_PAGE_SIZE, objects=True)
            )
        ):
            after = page[-1][0]
            yield [feature for _, feature in page]

    async def wait_until_done(self, job_id: str) -> Job:
        """Wait until a job is complete, and return it.

        Raises:
            JobNotFound: the job was deleted meanwhile.
        """
        event = self._progress.subscribe(job_id)
        while True:
            event.clear()
            job = await _retried(lambda: self.find(job_id, None))
            if job.status.is_terminal:
                return job
            await self._progress.wait(event)


async def _retried(read: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Read while a client waits for a job, which a database that fails for a while doesn't end."""
    return await retry_transient(read, _READ_RETRY_TIMEOUT_S)
