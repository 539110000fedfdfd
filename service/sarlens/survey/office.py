"""Where jobs are handed in and looked after: each is worked on by one process, and goes on where another one fell."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from weakref import WeakValueDictionary

import structlog

from sarlens.errors import JobNotFound, JobsUnavailable, SarlensError, SourceChanged
from sarlens.metrics import Metrics
from sarlens.survey.commission import Commission
from sarlens.survey.conduct import Conductor, Suspended
from sarlens.survey.delivery import Delivery
from sarlens.survey.echo import ECHO, echo
from sarlens.survey.job import Job, Status
from sarlens.survey.ledger import JobOver
from sarlens.survey.store import Answers, Store

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_PAGE = 500
_SWEEP_S = 600.0


class Office:
    """Takes jobs, sees that they are done, and tells how far they are.

    ``jobs`` are worked on at the same time; a job whose process has not said for ``lease_s`` that it lives is taken
    over. Jobs are forgotten ``keep_s`` after their end.
    """

    def __init__(
        self,
        store: Store,
        conductor: Conductor,
        delivery: Delivery,
        metrics: Metrics,
        *,
        jobs: int,
        keep_s: float,
        lease_s: float = 10.0,
        grace_s: float = 10.0,
    ) -> None:
        self.store = store
        self._conductor = conductor
        self._delivery = delivery
        self._metrics = metrics
        self._jobs = jobs
        self._keep_s = keep_s
        self._lease_s = lease_s
        self._grace_s = grace_s
        self._holder = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._running: dict[str, asyncio.Task[None]] = {}
        self._moved: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._nudge = asyncio.Event()
        self._stopping = asyncio.Event()
        self._swept = 0.0

    async def submit(self, commission: Commission, process: str, owner: str) -> Job:
        """Take a job; it is on disk when this returns.

        Raises:
            SarlensError: it cannot be done, and why.
        """
        self._delivery.check(commission)
        plan = await self._conductor.plan(commission, owner)
        job = Job(process, owner, plan.commission.model_dump_json(exclude_defaults=True))
        return await self.take(replace(job, version=plan.version, model=plan.model, tiles=len(plan.tiles)))

    async def take(self, job: Job) -> Job:
        """Take a job that is known to be one; it is on disk when this returns."""
        await self.store.add(job)
        self._nudge.set()
        return job

    async def find(self, name: str, owner: str | None) -> Job:
        """A job of an owner; None may see all.

        Raises:
            JobNotFound: there is none.
        """
        job = await self.store.find(name)
        if job is None or owner not in {None, job.owner}:
            raise JobNotFound(f"There is no job {name[:64]!r}.")
        return job

    async def dismiss(self, job: Job) -> Job:
        """Stop a job, or forget one that is over."""
        now = time.time()
        if await self.store.change(job.id, status=Status.DISMISSED, finished=now, message="Dismissed."):
            if job.id in self._running:
                self._running[job.id].cancel()
            self._tell(job.id)
            return await self.find(job.id, None)
        await self.store.forget([job.id])
        return replace(job, status=Status.DISMISSED, message="Dismissed.")

    async def follow(self, job: str) -> AsyncGenerator[list[str]]:
        """The answers of a job as JSON, as they come, until it is over."""
        after = 0
        moved = self._moved.setdefault(job, asyncio.Event())
        while True:
            moved.clear()
            known = await self.store.find(job)
            while found := await self.store.answers(Answers(job=job, after=after, limit=_PAGE)):
                after = found[-1][0]
                yield [feature for _, feature in found]
            if known is None or known.status.over:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), _LOOK_S)

    async def over(self, job: str) -> Job:
        """A job when it is over; raises JobNotFound where it is forgotten meanwhile."""
        moved = self._moved.setdefault(job, asyncio.Event())
        while True:
            moved.clear()
            known = await self.find(job, None)
            if known.status.over:
                return known
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), _LOOK_S)

    async def watch_forever(self) -> None:
        """Work on what there is to do."""
        if not self.store.promises:
            log.warning("surveys cannot be kept", reason="no right to write; SARLENS_SURVEY__DATABASE names a place")
        while True:
            self._nudge.clear()
            try:
                await self._look()
            except JobsUnavailable as error:
                log.warning("jobs cannot be looked after", reason=error.message)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), self._lease_s / 4)

    async def close(self) -> None:
        """Finish the tiles that are asked about now, and leave the rest to the next process."""
        self._stopping.set()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self._grace_s)
        left = list(self._running.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.store.close()

    async def _look(self) -> None:
        if self._stopping.is_set() or not self.store.begun:
            return
        if self._running:
            mine = await self.store.renew(self._holder, self._lease_s)
            for name in self._running.keys() - mine:
                self._running[name].cancel()
        if len(self._running) < self._jobs:
            for job in await self.store.claim(self._holder, self._lease_s, self._jobs - len(self._running)):
                self._running[job.id] = asyncio.create_task(self._work(job))
        if time.monotonic() - self._swept > _SWEEP_S:
            self._swept = time.monotonic()
            await self.store.forget(await self.store.stale(time.time() - self._keep_s))

    async def _work(self, job: Job) -> None:
        try:
            await self._do(job)
        except Suspended:
            await self.store.release(job.id, self._holder)
        except JobOver:
            log.info("job is over", job=job.id)
        except asyncio.CancelledError:
            if self._stopping.is_set():
                await asyncio.shield(self.store.release(job.id, self._holder))
            raise
        except SarlensError as error:
            await self._fail(job, error.code, _reason(error, job))
        except Exception:
            log.exception("job failed", job=job.id)
            await self._fail(job, "internal_error", "Something went wrong inside Sarlens; it has been logged.")
        finally:
            self._running.pop(job.id, None)
            self._tell(job.id)
            self._nudge.set()

    async def _do(self, job: Job) -> None:
        await self.store.change(job.id, status=Status.RUNNING, started=job.started or time.time())
        work = echo if job.process == ECHO else self._conductor.run
        await work(job, self._stopping, lambda: self._tell(job.id))
        if job.process != ECHO:
            await self._delivery.deliver(await self.find(job.id, None))
        if await self.store.change(job.id, status=Status.SUCCESSFUL, finished=time.time()):
            self._metrics.surveys.labels("successful").inc()

    async def _fail(self, job: Job, code: str, message: str) -> None:
        log.warning("job failed", job=job.id, code=code)
        self._metrics.surveys.labels("failed").inc()
        with suppress(JobsUnavailable):  # then its lease ends, and it is tried again
            await self.store.change(job.id, status=Status.FAILED, finished=time.time(), code=code, message=message)

    def _tell(self, job: str) -> None:
        moved = self._moved.get(job)
        if moved is not None:
            moved.set()


def _reason(error: SarlensError, job: Job) -> str:
    if isinstance(error, SourceChanged):
        return f"{error.message} The survey is of version {job.version}; what was answered until then is kept."
    return error.message
