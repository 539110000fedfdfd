"""Fakes around the job executor: planner, runner and exporter without images."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast

from sarlens.jobs.models import Job, JobOwner, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.observability.metrics import Metrics
from sarlens.surveys.job_executor import JobExecutor
from sarlens.surveys.job_service import JobService
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.spec import SurveySpec
from sarlens.types.render_params import RenderParams

Work = Callable[[Job, asyncio.Event, Callable[[], None]], Awaitable[None]]
SPEC = SurveySpec(url="s3://scenes/x.tif", tile=64)


async def finish_at_once(job: Job, stopping: asyncio.Event, on_progress: Callable[[], None]) -> None:
    """Finish a job without tiles."""


class JobHarness:
    """A job service and an executor on one store; ``work`` is the runner of the jobs."""

    def __init__(self, store: JobStore, work: Work = finish_at_once, **limits: Any) -> None:
        self.store = store
        self.work = work
        self.metrics = Metrics()
        self.calls: list[str] = []
        self.planned: list[str] = []
        self.discarded: list[str] = []
        self.exported: list[tuple[str, SurveySpec]] = []
        limits = {"max_concurrent_jobs": 2, "retention_s": 3600.0, "lease_s": 2.0, "grace_s": 0.2} | limits
        fake = cast("Any", self)
        self.executor = JobExecutor(store, fake, fake, fake, self.metrics, **limits)
        self.service = JobService(store, fake, fake, self.executor)
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JobHarness:
        """Start the executor."""
        self._loop = asyncio.create_task(self.executor.run_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain the executor."""
        assert self._loop is not None
        self._loop.cancel()
        await self.executor.close()

    async def new_job(self, spec: SurveySpec, process: str, owner: JobOwner) -> Job:
        """Plan a job."""
        self.calls.append("plan")
        request = spec.model_dump_json()
        return Job(process, owner.name, request, version="v1", model="nano", tiles=3, priority=owner.priority)

    async def take_plan(self, job: Job) -> SurveyPlan:
        """Return the plan of a job."""
        self.planned.append(job.id)
        return SurveyPlan("x", "v1", "nano", 64, None, RenderParams(), (), SPEC)

    def discard_plan(self, job_id: str) -> None:
        """Drop a plan."""
        self.discarded.append(job_id)

    async def check(self, _: SurveySpec, key_prefixes: Collection[str] | None) -> None:
        """Check an output."""
        self.calls.append("check")

    async def export(self, job_id: str, spec: SurveySpec) -> None:
        """Export a result."""
        self.exported.append((job_id, spec))

    async def run(self, job: Job, _: SurveyPlan, stopping: asyncio.Event, on_progress: Callable[[], None]) -> None:
        """Run a job."""
        await self.work(job, stopping, on_progress)

    async def submit(self, owner: str = "", **fields: Any) -> Job:
        """Submit a survey."""
        return await self.service.submit(SPEC, "survey", JobOwner(owner, **fields))

    async def status(self, job: Job) -> JobStatus:
        """Return the stored status of a job."""
        return (await self.service.find(job.id, None)).status

    def count(self, ended: str) -> float:
        """Return the number of surveys in the metrics."""
        return float(self.metrics.surveys.labels(ended)._value.get())


async def until(condition: Callable[[], bool]) -> None:
    """Wait up to 10 seconds for a condition."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
