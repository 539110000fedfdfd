"""Job executor: leases jobs from the store and runs them."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

import structlog

from sarlens.errors import JobsUnavailable, SarlensError, SourceChanged
from sarlens.jobs.batches import BATCH
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import ActiveJobs, Job, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.observability.metrics import Metrics
from sarlens.surveys.echo import ECHO, run_echo
from sarlens.surveys.exporter import ResultExporter
from sarlens.surveys.job_turns import RunningJob, job_to_suspend
from sarlens.surveys.planner import SurveyPlanner
from sarlens.surveys.progress import ProgressEvents
from sarlens.surveys.retry import JobSuspended
from sarlens.surveys.runner import SurveyRunner

log = structlog.get_logger(__name__)

_POLL_INTERVAL_S = 0.5
_CLEANUP_INTERVAL_S = 600.0
_MAX_CONCURRENT_ECHOES = 16
"""Echo jobs of this process at the same time; they wait only, and have no slot of a survey."""

Run = Callable[[Job, asyncio.Event, Callable[[], None]], Awaitable[JobStatus]]
"""Runs a job until it ends or an event is set, which raises ``JobSuspended``, and returns the final status.

The function is called after each commit.
"""


class JobKind(NamedTuple):
    """Jobs that share slots."""

    jobs: JobFilter
    max_concurrent_jobs: int
    """Maximum number of jobs that this process runs at the same time."""
    run: Run
    count_end: Callable[[JobStatus], object]
    """Counts a job that ends with a status."""
    takes_turns: bool = True
    """Whether a job is suspended if an owner with fewer running jobs waits."""
    limits_bytes: bool = True
    """Whether a job fails if the jobs of its owner are too large."""


class JobExecutor:
    """Runs the jobs that this process leases. Other processes can claim a job after its lease expires."""

    def __init__(
        self,
        store: JobStore,
        planner: SurveyPlanner,
        runner: SurveyRunner,
        exporter: ResultExporter,
        metrics: Metrics,
        *,
        max_concurrent_jobs: int,
        retention_s: float,
        lease_s: float = 10.0,
        grace_s: float = 10.0,
        turn_s: float = 15.0,
    ) -> None:
        """Create the executor; ``run_forever`` runs the jobs.

        Args:
            store: jobs and answers.
            planner: plans surveys, or restores their plans.
            runner: runs surveys.
            exporter: writes results to their outputs.
            metrics: counts completed jobs.
            max_concurrent_jobs: maximum number of surveys that this process runs at the same time.
            retention_s: seconds after which completed jobs are deleted.
            lease_s: seconds without a renewal after which another process can claim a job.
            grace_s: seconds that ``close`` waits for tiles in progress.
            turn_s: seconds after which a survey is suspended, if an owner with fewer running surveys waits.
        """
        self.progress = ProgressEvents(_POLL_INTERVAL_S)
        self._store = store
        self._planner = planner
        self._runner = runner
        self._exporter = exporter
        self._metrics = metrics

        def count_end(status: JobStatus) -> None:
            metrics.surveys.labels(status).inc()

        echoes, surveys = JobFilter(processes=(ECHO,)), JobFilter(other_processes=(ECHO, BATCH))
        self._kinds = [
            JobKind(echoes, _MAX_CONCURRENT_ECHOES, _run_echo, count_end, takes_turns=False),
            JobKind(surveys, max_concurrent_jobs, self._run_survey, count_end),
        ]
        self._retention_s = retention_s
        self._lease_s = lease_s
        self._grace_s = grace_s
        self._turn_s = turn_s
        self._lease_owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._running: dict[str, RunningJob] = {}
        self._kind_of: dict[str, JobKind] = {}
        """Kind of each running job."""
        self._to_release: set[str] = set()
        self._counted: set[tuple[str, str]] = set()
        """Labels of the metric of active jobs that have a value."""
        self._wakeup = asyncio.Event()
        self._stopping = asyncio.Event()
        self._cleaned_up_at = -math.inf

    def add_kind(self, kind: JobKind) -> None:
        """Run jobs of a further kind, with slots of their own."""
        self._kinds.append(kind)

    def wake(self) -> None:
        """Claim jobs now instead of at the next interval."""
        self._wakeup.set()

    def cancel(self, job_id: str) -> None:
        """Cancel a job that runs in this process."""
        if job_id in self._running:
            self._running[job_id].cancel()

    async def run_forever(self) -> None:
        """Claim and run jobs, renew leases and delete expired jobs, until canceled."""
        if not self._store.is_writable:
            log.warning("job database not writable", hint="set SARLENS_SURVEY__DATABASE to a writable path")
        while True:
            self._wakeup.clear()
            try:
                await self._poll()
                self._metrics.job_database_up.set(1)
            except JobsUnavailable as error:
                self._metrics.job_database_up.set(0)
                log.warning("job database failed", reason=error.message)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), self._lease_s / 4)

    async def close(self) -> None:
        """Finish the tiles in progress, and release the jobs to other processes."""
        self._stopping.set()
        tasks = [running.task for running in self._running.values() if running.task is not None]
        for running in self._running.values():
            running.stopping.set()
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self) -> None:
        if self._stopping.is_set() or not self._store.exists:
            return
        if self._running:
            owned = await self._store.leases.renew(self._lease_owner, self._lease_s, [*self._running])
            for job_id in self._running.keys() - owned:
                self._running[job_id].cancel()
            await self._fail_large_jobs()
        for job_id in [*self._to_release]:
            await self._release(job_id)
        for kind in self._kinds:
            await self._fill_slots(kind)
        await self._count_jobs()
        if monotonic() - self._cleaned_up_at > _CLEANUP_INTERVAL_S:
            self._cleaned_up_at = monotonic()
            await self._store.delete(await self._store.expired(self._retention_s))

    async def _count_jobs(self) -> None:
        counts = await self._store.count_active()
        self._counted |= counts.keys()
        for labels in self._counted:
            active = counts.get(labels, ActiveJobs(0, 0.0))
            self._metrics.jobs.labels(*labels).set(active.jobs)
            self._metrics.oldest_job.labels(*labels).set(active.oldest_age_s)

    async def _fail_large_jobs(self) -> None:
        limited = [running for running in self._running.values() if self._kind_of[running.job.id].limits_bytes]
        large = await self._store.owners_over_limit({running.job.owner for running in limited})
        for running in limited:
            if running.job.owner in large:
                running.cancel(self._store.limits.too_large())

    async def _fill_slots(self, kind: JobKind) -> None:
        """Claim jobs of a kind for the free slots. If no slot is free, suspend a job that has had its turn."""
        running = [other for other in self._running.values() if self._kind_of[other.job.id] is kind]
        free = kind.max_concurrent_jobs - len(running)
        if free > 0:
            for job in await self._store.leases.claim(self._lease_owner, self._lease_s, free, kind.jobs):
                started = self._running[job.id] = RunningJob(job)
                self._kind_of[job.id] = kind
                started.task = asyncio.create_task(self._run_job(started, kind))
        elif kind.takes_turns:
            suspended = job_to_suspend(running, await self._store.leases.loads(kind.jobs), self._turn_s)
            if suspended is not None:
                log.info("job suspended for another owner", job=suspended.job.id)
                suspended.stopping.set()

    async def _run_job(self, running: RunningJob, kind: JobKind) -> None:
        job = running.job
        try:
            await self._execute(job, kind, running.stopping)
        except (JobSuspended, JobsUnavailable) as error:
            log.info("job suspended", job=job.id, reason=type(error).__name__)
            await self._release(job.id)
        except JobNotActive:
            log.info("job not active", job=job.id)
        except asyncio.CancelledError:
            if running.error is not None:
                await self._fail(job, kind, running.error.code, running.error.message)
                return
            if running.stopping.is_set():
                await asyncio.shield(self._release(job.id))
            raise
        except SarlensError as error:
            await self._fail(job, kind, error.code, _failure_message(error, job))
        except Exception:
            log.exception("job failed", job=job.id)
            await self._fail(
                job, kind, "internal_error", "An internal error occurred. The gateway's log has the details."
            )
        finally:
            self._end(running)

    def _end(self, running: RunningJob) -> None:
        """Forget a run. A job that was dismissed and resumed has another one already."""
        job_id = running.job.id
        if self._running.get(job_id) is running:
            del self._running[job_id], self._kind_of[job_id]
        self.progress.notify(job_id)
        self._wakeup.set()

    async def _execute(self, job: Job, kind: JobKind, stopping: asyncio.Event) -> None:
        started = job.started or database_time()
        if not await self._store.update_active(job.id, status=JobStatus.RUNNING, started=started):
            raise JobNotActive(job.id)
        status = await kind.run(job, stopping, lambda: self.progress.notify(job.id))
        await self._finish(job, kind, status)

    async def _run_survey(self, job: Job, stopping: asyncio.Event, on_progress: Callable[[], None]) -> JobStatus:
        plan = await self._planner.take_plan(job)
        await self._runner.run(job, plan, stopping, on_progress)
        await self._exporter.export(job.id, plan.spec)
        return JobStatus.SUCCESSFUL

    async def _release(self, job_id: str) -> None:
        """End the lease of a job; if the database fails, the next poll does."""
        self._to_release.add(job_id)
        with suppress(JobsUnavailable):
            await self._store.leases.release(job_id, self._lease_owner)
            self._to_release.discard(job_id)

    async def _fail(self, job: Job, kind: JobKind, code: str, message: str) -> None:
        log.warning("job failed", job=job.id, code=code)
        # If the database fails, the lease expires, and a process runs the job again.
        with suppress(JobsUnavailable):
            await self._finish(job, kind, JobStatus.FAILED, code=code, message=message)

    async def _finish(self, job: Job, kind: JobKind, status: JobStatus, **values: Any) -> None:
        if await self._store.update_active(job.id, status=status, finished=database_time(), **values):
            kind.count_end(status)


async def _run_echo(job: Job, stopping: asyncio.Event, on_progress: Callable[[], None]) -> JobStatus:
    await run_echo(job)
    return JobStatus.SUCCESSFUL


def _failure_message(error: SarlensError, job: Job) -> str:
    if isinstance(error, SourceChanged):
        return f"{error.message} The survey uses version {job.version}; the answers so far are kept."
    return error.message
