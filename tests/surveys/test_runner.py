"""Survey runner: concurrency, outcomes, giving up and draining, with fake tiles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sarlens.errors import BadRequest, JobFailed, NoValidPixels, SarlensError, WorkerFailed
from sarlens.inference.sar_tasks import TaskAnswer
from sarlens.jobs.batch_writer import TileResult
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, TileCounts
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import NoOpTracer
from sarlens.surveys import runner as runner_module
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.planner import SurveyLimits
from sarlens.surveys.retry import JobSuspended
from sarlens.surveys.row_renderer import RenderedTiles
from sarlens.surveys.runner import SurveyRunner
from sarlens.surveys.spec import SurveyQuestion, SurveySpec
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

ANSWER = TaskAnswer("2", None, 0.1)
REJECTED = BadRequest("This cannot be answered.")


def make_plan(tiles: int) -> SurveyPlan:
    """Return a plan with one question and a row of tiles."""
    windows = tuple(Window(64 * tile, 0, 64, 64) for tile in range(tiles))
    spec = SurveySpec(url="s3://scenes/x.tif", tile=64, questions=(SurveyQuestion(question="How many ships?"),))
    return SurveyPlan("x", "v1", "nano", 64, None, RenderParams(), windows, spec)


class Harness:
    """A runner whose tiles have the given results, and a store that keeps the outcomes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tiles: int, *, max_concurrent_tiles: int = 4) -> None:
        self.plan = make_plan(tiles)
        self.results: dict[int, TaskAnswer | SarlensError] = {}
        self.blank: set[int] = set()
        self.finished: set[int] = set()
        self.outcomes: dict[int, str] = {}
        self.started: list[int] = []
        self.running = self.max_running = self.progress = 0
        self.stopping = asyncio.Event()
        self.stop_at: int | None = None
        self.write_error: Exception | None = None
        self.metrics = Metrics()
        monkeypatch.setattr(runner_module, "RowRenderer", lambda *_: self)
        monkeypatch.setattr(runner_module, "TileRunner", lambda *_: SimpleNamespace(run=self._run_tile))
        limits = SurveyLimits(max_concurrent_tiles, 1.0, 1000)
        store, inference = cast("Any", self), cast("Any", SimpleNamespace(image_service=None))
        self._runner = SurveyRunner(inference, cast("Any", None), store, limits, self.metrics, NoOpTracer())

    async def run(self, **counts: int) -> None:
        """Run a job with these counts."""
        job = Job("survey", "", "{}", counts=TileCounts(**counts))
        await self._runner.run(job, self.plan, self.stopping, self._count_progress)

    def _count_progress(self) -> None:
        self.progress += 1

    @asynccontextmanager
    async def open_reader(self, _: Sequence[int]) -> AsyncIterator[None]:
        """Open no reader."""
        yield None

    async def group_into_rows(self, _: None, tiles: Sequence[int]) -> list[list[int]]:
        """Group three tiles a row."""
        return [list(tiles[start : start + 3]) for start in range(0, len(tiles), 3)]

    async def render(self, _: None, row: Sequence[int]) -> RenderedTiles:
        """Return the blank tiles of a row."""
        return RenderedTiles(self.blank & set(row))

    async def search(self, _: int) -> None:
        """Search for nothing."""

    async def finished_tiles(self, _: str) -> set[int]:
        """Return the tiles of earlier runs."""
        return self.finished

    async def write_tile(self, _: str, result: TileResult) -> None:
        """Keep an outcome."""
        if self.write_error:
            raise self.write_error
        assert result.tile not in self.outcomes
        self.outcomes[result.tile] = result.outcome

    async def _run_tile(self, tile: int, tasks: Sequence[Any]) -> dict[int, Any]:
        self.started.append(tile)
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        if tile == self.stop_at:
            self.stopping.set()
        result = self.results.get(tile, ANSWER)
        if isinstance(result, NoValidPixels):
            raise result
        return {index: result for index, _ in tasks}

    def metric(self, outcome: str) -> float:
        """Return the number of tiles in the metrics."""
        return float(self.metrics.survey_tiles.labels(outcome)._value.get())


async def test_each_tile_has_one_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answered, failed and blank tiles are committed once, counted in the metrics, and each calls on_progress."""
    harness = Harness(monkeypatch, 10)
    harness.blank = {1, 4}
    harness.results = {2: REJECTED, 7: NoValidPixels("blank")}
    await harness.run()
    assert {tile for tile, outcome in harness.outcomes.items() if outcome == "blank"} == {1, 4, 7}
    assert {tile for tile, outcome in harness.outcomes.items() if outcome == "failed"} == {2}
    assert len(harness.outcomes) == harness.progress == 10
    assert [harness.metric(outcome) for outcome in ("answered", "blank", "failed")] == [6, 3, 1]
    assert sorted(harness.started) == [0, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("limit", [1, 3])
async def test_concurrent_tiles_are_limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """At most max_concurrent_tiles tiles run at the same time, and that many do."""
    harness = Harness(monkeypatch, 12, max_concurrent_tiles=limit)
    await harness.run()
    assert harness.max_running == limit


async def test_finished_tiles_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that continues runs the remaining tiles only."""
    harness = Harness(monkeypatch, 6)
    harness.finished = {0, 3, 5}
    await harness.run()
    assert sorted(harness.started) == [1, 2, 4]


async def test_sixteen_failed_tiles_end_a_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answered tile, the 16th failed tile fails the job with its error; 15 failed tiles don't."""
    harness = Harness(monkeypatch, 40, max_concurrent_tiles=1)
    harness.results = dict.fromkeys(range(40), REJECTED)
    with pytest.raises(BadRequest) as raised:
        await harness.run()
    assert raised.value.message == "16 tiles failed and none was answered. The last error: This cannot be answered."
    assert len(harness.outcomes) == 16
    harness = Harness(monkeypatch, 15)
    harness.results = dict.fromkeys(range(15), REJECTED)
    await harness.run()
    assert len(harness.outcomes) == 15


async def test_tiles_that_fail_without_fault_of_the_request_fail_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last error isn't one of the request, the survey ends with JobFailed."""
    harness = Harness(monkeypatch, 16, max_concurrent_tiles=1)
    harness.results = dict.fromkeys(range(16), WorkerFailed("gone"))
    with pytest.raises(JobFailed, match="The last error: gone"):
        await harness.run()


async def test_one_answered_tile_keeps_a_survey_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an answered tile, in this run or in an earlier one, 30 failed tiles don't end the survey."""
    for counts in ({}, {"answered": 1}):
        harness = Harness(monkeypatch, 31, max_concurrent_tiles=1)
        harness.results = dict.fromkeys(range(0 if counts else 1, 31), REJECTED)
        await harness.run(**counts)
        assert len(harness.outcomes) == 31


async def test_failed_tiles_of_earlier_runs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 15 failed tiles in an earlier run, the next failed tile ends the survey."""
    harness = Harness(monkeypatch, 20, max_concurrent_tiles=1)
    harness.finished = set(range(15))
    harness.results = dict.fromkeys(range(20), REJECTED)
    with pytest.raises(BadRequest, match="16 tiles failed"):
        await harness.run(failed=15)
    assert harness.outcomes == {15: "failed"}


async def test_a_drained_process_finishes_its_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``stopping``, the tiles in progress are committed, no other starts, and the job is suspended."""
    harness = Harness(monkeypatch, 20, max_concurrent_tiles=2)
    harness.stop_at = 4
    with pytest.raises(JobSuspended):
        await harness.run()
    assert sorted(harness.outcomes) == sorted(harness.started)
    assert 5 <= len(harness.started) <= 7


async def test_an_inactive_job_ends_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store rejects a tile of a dismissed job, the run ends with JobNotActive instead of a group."""
    harness = Harness(monkeypatch, 20)
    harness.write_error = JobNotActive("job")
    with pytest.raises(JobNotActive):
        await harness.run()


async def test_an_unexpected_error_is_raised_as_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error without a code isn't replaced, so that its traceback is logged."""
    harness = Harness(monkeypatch, 2)
    harness.write_error = ZeroDivisionError()
    with pytest.raises(ExceptionGroup):
        await harness.run()
