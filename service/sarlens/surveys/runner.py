"""Survey runner: render rows of tiles, ask the workers about each tile, and commit each result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sarlens.errors import JobFailed, NoValidPixels, SarlensError, error_of_caller
from sarlens.inference.pipeline import InferencePipeline
from sarlens.inference.sar_tasks import TaskAnswer
from sarlens.jobs.batch_writer import TileResult
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job
from sarlens.jobs.store import JobStore
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import Tracer, start_trace
from sarlens.runtime.task_group import TaskGroup
from sarlens.surveys.features import NO_EVIDENCE, tile_feature
from sarlens.surveys.objects.candidates import TileView
from sarlens.surveys.objects.evidence import TileEvidence
from sarlens.surveys.objects.merged import write_objects
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.planner import SurveyLimits
from sarlens.surveys.quota_account import QuotaAccount
from sarlens.surveys.retry import PERMANENT_ERRORS, JobSuspended, retry_transient
from sarlens.surveys.row_renderer import RenderedTiles, RowRenderer, SearchedTile
from sarlens.surveys.tile_runner import IndexedTask, Result, TileRunner

_GIVE_UP_AFTER = 16
"""Number of failed tiles after which a survey without an answered tile fails."""


class SurveyRunner:
    """Runs survey jobs."""

    def __init__(
        self,
        inference: InferencePipeline,
        quota_account: QuotaAccount,
        store: JobStore,
        limits: SurveyLimits,
        metrics: Metrics,
        tracer: Tracer,
    ) -> None:
        self._inference = inference
        self._quota_account = quota_account
        self._store = store
        self._limits = limits
        self._metrics = metrics
        self._tracer = tracer

    async def run(self, job: Job, plan: SurveyPlan, stopping: asyncio.Event, on_progress: Callable[[], None]) -> None:
        """Finish the remaining tiles of a job. ``on_progress`` is called after each commit.

        Raises:
            JobSuspended: ``stopping`` was set, and the tiles in progress are finished.
            JobsUnavailable: the job database failed for the retry timeout.
            JobNotActive: the job is complete, dismissed or deleted.
            SarlensError: the survey can't continue; finished tiles are kept.
        """
        finished = await self._store.finished_tiles(job.id)
        timeout_s, image_service = self._limits.retry_timeout_s, self._inference.image_service
        survey_run = SurveyRun(
            job,
            plan,
            RowRenderer(image_service, plan, job.id, timeout_s, self._tracer, stopping),
            TileRunner(self._inference, self._quota_account, plan, job, timeout_s, stopping),
            self._store,
            self._metrics,
            self._tracer,
            on_progress,
            max_concurrent_tiles=self._limits.max_concurrent_tiles,
            retry_timeout_s=timeout_s,
        )
        try:
            await survey_run.run([tile for tile in range(len(plan.tiles)) if tile not in finished], stopping)
        except ExceptionGroup as group:
            expected = (error for error in group.exceptions if isinstance(error, (SarlensError, JobNotActive)))
            raise next(expected, group) from None
        if stopping.is_set():
            raise JobSuspended
        if plan.spec.objects:
            await retry_transient(lambda: write_objects(self._store, job.id, plan), timeout_s)


class SurveyRun:
    """One run of a job in this process."""

    def __init__(
        self,
        job: Job,
        plan: SurveyPlan,
        row_renderer: RowRenderer,
        tile_runner: TileRunner,
        store: JobStore,
        metrics: Metrics,
        tracer: Tracer,
        on_progress: Callable[[], None],
        *,
        max_concurrent_tiles: int,
        retry_timeout_s: float,
    ) -> None:
        self._job = job
        self._plan = plan
        self._row_renderer = row_renderer
        self._tile_runner = tile_runner
        self._store = store
        self._metrics = metrics
        self._tracer = tracer
        self._on_progress = on_progress
        self._slots = asyncio.Semaphore(max_concurrent_tiles)
        self._retry_timeout_s = retry_timeout_s
        self._answered = job.counts.answered
        self._failed = job.counts.failed

    async def run(self, tiles: Sequence[int], stopping: asyncio.Event) -> None:
        """Process tiles row by row, until all are finished or ``stopping`` is set."""
        async with self._row_renderer.open_reader(tiles) as reader, TaskGroup() as tasks:
            for row in await self._row_renderer.group_into_rows(reader, tiles):
                try:
                    rendered = await self._row_renderer.render(reader, row)
                except JobSuspended:
                    return  # the tiles in progress finish
                for tile in row:
                    await self._slots.acquire()
                    if stopping.is_set():
                        return
                    is_blank = tile in rendered.blank
                    work = self._commit(TileResult(tile, "blank", ())) if is_blank else self._run_tile(tile, rendered)
                    tasks.create_task(work).add_done_callback(lambda _: self._slots.release())

    async def _run_tile(self, tile: int, rendered: RenderedTiles) -> None:
        with start_trace(self._tracer, "survey tile") as span:
            span.set_attributes(
                {"sarlens.job": self._job.id, "sarlens.tile": tile, "gen_ai.request.model": self._plan.model}
            )
            if self._job.owner:
                span.set_attribute("sarlens.key", self._job.owner)
            try:
                searched = rendered.searched.get(tile) or await self._search(tile)
                await self._ask_about(tile, searched)
            except NoValidPixels:
                await self._commit(TileResult(tile, "blank", ()))
            except JobSuspended:
                return  # the other tiles in progress finish

    async def _search(self, tile: int) -> SearchedTile | None:
        """Search a tile for targets. A tile that can't be read reports its error when the model is asked about it."""
        try:
            return await self._row_renderer.search(tile)
        except SarlensError as error:
            if isinstance(error, (*PERMANENT_ERRORS, NoValidPixels)):
                raise
            return None

    async def _ask_about(self, tile: int, searched: SearchedTile | None) -> None:
        """Ask the questions about a tile, find its objects and commit the result."""
        if self._plan.spec.gate and searched and searched.targets == []:
            await self._commit(TileResult(tile, "skipped", ()))
            return
        tasks = self._plan.tasks(tile)
        results = await self._tile_runner.run(tile, tasks)
        found = self._evidence(tile, searched, tasks, results)
        is_answered = not tasks or any(isinstance(result, TaskAnswer) for result in results.values())
        features = [
            tile_feature(self._plan, self._job.id, tile, index, task, results[index], found.get(index, NO_EVIDENCE))
            for index, task in tasks
        ]
        candidates = [
            (index, [candidate.model_dump(mode="json") for candidate in evidence.candidates])
            for index, evidence in found.items()
            if evidence.candidates
        ]
        await self._commit(TileResult(tile, "answered" if is_answered else "failed", features, candidates))
        self._count(results, is_answered=is_answered)

    def _evidence(
        self, tile: int, searched: SearchedTile | None, tasks: Sequence[IndexedTask], results: Mapping[int, Result]
    ) -> dict[int, TileEvidence]:
        """Return the evidence for each answer by the index of its question."""
        window, boxes = self._plan.tiles[tile], self._plan.boxes(tile)
        if searched is None or window is None or boxes is None:
            return {}
        view = TileView(tile, window, boxes, searched.targets, searched.image_id)
        answers = {index: result for index, result in results.items() if isinstance(result, TaskAnswer)}
        return {index: TileEvidence.of(self._plan.spec, view, task, answers.get(index)) for index, task in tasks}

    def _count(self, results: Mapping[int, Result], *, is_answered: bool) -> None:
        """Count a tile; raise an error after ``_GIVE_UP_AFTER`` failed tiles without an answered one.

        It is that of the last tile if the request is its cause, or JobFailed.
        """
        self._answered += is_answered
        self._failed += not is_answered
        if not self._answered and self._failed >= _GIVE_UP_AFTER:
            last = next(result for result in results.values() if isinstance(result, SarlensError))
            error = error_of_caller(last.code) or JobFailed
            raise error(f"{self._failed} tiles failed and none was answered. The last error: {last.message}")

    async def _commit(self, result: TileResult) -> None:
        """Write a result. While the database fails, keep the result and its slot, so that few tiles wait."""
        await retry_transient(lambda: self._store.write_tile(self._job.id, result), self._retry_timeout_s)
        self._metrics.survey_tiles.labels(result.outcome).inc()
        self._on_progress()
