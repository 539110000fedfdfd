"""The plot of a survey: strips of tiles are drawn, each tile is asked about, and what is answered is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from sarlens.errors import JobFailed, NothingMeasured, SarlensError, SourceChanged
from sarlens.imagery.reel import Reel
from sarlens.inference import Inference
from sarlens.metrics import Metrics
from sarlens.request import ANYBODY
from sarlens.survey.commission import Commission
from sarlens.survey.features import feature_of
from sarlens.survey.interview import Interview, Till
from sarlens.survey.job import Job, Status
from sarlens.survey.ledger import Ended, JobOver
from sarlens.survey.patience import FATAL, PASSING, patiently
from sarlens.survey.plan import Plan, tiles_of
from sarlens.survey.store import Store
from sarlens.tasks import Finding
from sarlens.tracing import Tracer

_HOPELESS = 16
"""Failed tiles, with none answered, after which a survey is given up."""


class Pace(NamedTuple):
    """How hard surveys drive workers: tiles of one survey that are asked about at the same time, and how long one is
    asked again while workers or stores fail. ``tiles`` is the most that a survey may have."""

    at_once: int
    patience_s: float
    tiles: int


class Suspended(Exception):
    """The process ends; another one goes on."""


class Conductor:
    """Does the work of jobs."""

    def __init__(
        self, inference: Inference, till: Till, store: Store, pace: Pace, metrics: Metrics, tracer: Tracer
    ) -> None:
        self._inference = inference
        self._till = till
        self._store = store
        self._pace = pace
        self._metrics = metrics
        self._tracer = tracer

    async def plan(self, commission: Commission, owner: str) -> Plan:
        """What there is to do; of a STAC Item it is settled which asset is meant.

        Raises:
            SarlensError: no worker serves the model, the image cannot be had, or it has no such tiles.
        """
        model = self._inference.pool.resolve(commission.model)
        terms = self._till.terms(owner)
        found, layout = await self._inference.pictures.lay_out(commission.url, commission.render, terms)
        commission = commission.settled(str(found.place), found.render, found.acquisition)
        tiles = await asyncio.to_thread(tiles_of, layout, commission, self._pace.tiles)
        size = self._inference.picture_size(model)
        place = layout.place if layout else None
        name, version = found.original.name, found.original.version
        plan = Plan(name, version, model, size, place, commission.render.whole, tiles, commission)
        plan.check()
        return plan

    async def run(self, job: Job, stopping: asyncio.Event, told: Callable[[], None]) -> None:
        """Do what is left of a job; ``told`` is called whenever more of it is on disk.

        Raises:
            Suspended: ``stopping`` was set, and what was under way has been finished.
            JobOver: it was dismissed, or another process has ended it.
            SarlensError: it cannot be done; what has been done is kept.
        """
        commission = Commission.model_validate_json(job.request)
        plan = await patiently(lambda: self.plan(commission, job.owner), self._pace.patience_s)
        if job.version not in {None, plan.version}:
            raise SourceChanged(f"{plan.name} is version {plan.version} now, and the survey is of {job.version}.")
        await self._store.change(
            job.id, status=Status.RUNNING, version=plan.version, model=plan.model, tiles=len(plan.tiles)
        )
        done = await self._store.tiles(job.id)
        parts = (self._inference, self._till, self._store, self._pace, self._metrics, self._tracer)
        survey = _Survey(*parts, plan, job, told)
        survey.answered = job.counts.answered
        try:
            await survey.ask([tile for tile in range(len(plan.tiles)) if tile not in done], stopping)
        except ExceptionGroup as errors:
            raise next(
                (each for each in errors.exceptions if isinstance(each, (SarlensError, JobOver))), errors
            ) from None
        if stopping.is_set():
            raise Suspended


class _Survey:
    """One job under way."""

    def __init__(
        self,
        inference: Inference,
        till: Till,
        store: Store,
        pace: Pace,
        metrics: Metrics,
        tracer: Tracer,
        plan: Plan,
        job: Job,
        told: Callable[[], None],
    ) -> None:
        self._inference = inference
        self._store = store
        self._pace = pace
        self._metrics = metrics
        self._tracer = tracer
        self._plan = plan
        self._interview = Interview(inference, till, plan, job, pace.patience_s)
        self._job = job
        self._told = told
        self._places = asyncio.Semaphore(pace.at_once)
        self.answered = 0
        self._failed = 0

    async def ask(self, tiles: Sequence[int], stopping: asyncio.Event) -> None:
        """Ask about tiles, strip by strip, until they are done or ``stopping`` is set."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as asking:
            reel = await self._reel(tiles, stack)
            for strip in await self._strips(reel, tiles):
                blank = await self._blank(reel, strip)
                for tile in strip:
                    await self._places.acquire()
                    if stopping.is_set():
                        return
                    work = self._end_blank(tile) if tile in blank else self._tile(tile)
                    asking.create_task(work).add_done_callback(lambda _: self._places.release())

    async def _reel(self, tiles: Sequence[int], stack: AsyncExitStack) -> Reel | None:
        if len(tiles) < 2 or self._plan.place is None:
            return None
        pictures, plan = self._inference.pictures, self._plan

        async def opened() -> Reel:
            negative = await pictures.find(plan.url, plan.at(tiles[0]), plan.size, ANYBODY, plan.version)
            return await stack.enter_async_context(pictures.reel(negative))

        return await patiently(opened, self._pace.patience_s)

    async def _strips(self, reel: Reel | None, tiles: Sequence[int]) -> list[list[int]]:
        """Tiles by the strips that they are read in; one that is read alone is a strip of its own."""
        if reel is None:
            return [[tile] for tile in tiles]
        numbers = {self._plan.tiles[tile]: tile for tile in tiles}
        strips = [[numbers[window] for window in strip] for strip in await reel.strips([w for w in numbers if w])]
        together = {tile for strip in strips for tile in strip}
        return sorted(strips + [[tile] for tile in tiles if tile not in together])

    async def _blank(self, reel: Reel | None, strip: Sequence[int]) -> set[int]:
        """Those tiles of a strip in which nothing was measured, as far as the strip is read together."""
        if reel is None or len(strip) < 2:
            return set()
        try:
            return await patiently(lambda: self._draw(reel, strip), self._pace.patience_s)
        except (*PASSING, *FATAL):
            raise
        except SarlensError:
            return set()  # each tile is drawn alone then, and the one that cannot be says why

    async def _draw(self, reel: Reel, strip: Sequence[int]) -> set[int]:
        """Draw the tiles of a strip before they are asked about; those in which nothing was measured."""
        pictures, plan = self._inference.pictures, self._plan
        find = pictures.find
        found = await asyncio.gather(
            *(find(plan.url, plan.at(tile), plan.size, ANYBODY, plan.version) for tile in strip)
        )
        with self._tracer.begin("survey strip") as span:
            span.set({"sarlens.job": self._job.id, "sarlens.tiles": len(strip)})
            blank = await pictures.draw_together(reel, found)
        return {tile for tile, negative in zip(strip, found, strict=True) if negative.id in blank}

    async def _tile(self, tile: int) -> None:
        with self._tracer.begin("survey tile") as span:
            span.set({"sarlens.job": self._job.id, "sarlens.tile": tile, "gen_ai.request.model": self._plan.model})
            await self._answer(tile)

    async def _answer(self, tile: int) -> None:
        tasks = self._plan.tasks(tile)
        try:
            results = await self._interview.results(tile, tasks)
        except NothingMeasured:
            await self._end_blank(tile)
            return
        ended = "answered" if any(isinstance(result, Finding) for result in results.values()) or not tasks else "failed"
        features = [feature_of(self._plan, self._job.id, tile, number, task, results[number]) for number, task in tasks]
        await self._end(Ended(tile, ended, features))
        self.answered += ended == "answered"
        self._failed += ended == "failed"
        if not self.answered and self._failed >= _HOPELESS:
            said = next(result.message for result in results.values() if isinstance(result, SarlensError))
            raise JobFailed(f"No tile could be answered, the last for this reason: {said}")

    async def _end_blank(self, tile: int) -> None:
        await self._end(Ended(tile, "blank", ()))

    async def _end(self, ended: Ended) -> None:
        await self._store.end(self._job.id, ended)
        self._metrics.survey_tiles.labels(ended.ended).inc()
        self._told()
