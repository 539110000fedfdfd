"""Tile runner: reservations, charges and retries of the tasks of one tile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from sarlens.errors import (
    AccessDenied,
    BadRequest,
    NoValidPixels,
    NoWorkerAvailable,
    QuotaExceeded,
    SarlensError,
    Unauthenticated,
    WorkerFailed,
)
from sarlens.imagery.core.raster import RenderedImage
from sarlens.inference.sar_tasks import Sampling, Task, TaskAnswer, TaskImage, TaskOutcome, vqa_task
from sarlens.jobs.models import Job
from sarlens.surveys import retry, tile_runner
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.spec import SurveySpec
from sarlens.surveys.tile_runner import TileRunner
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

URL = "s3://scenes/x.tif"
POLICY = CallerPolicy("gis", 3)
TASKS = [(index, vqa_task(f"Question {index}?", None)) for index in (0, 2, 5)]
Result = TaskAnswer | SarlensError


@dataclass
class Account:
    """Quota account that records its calls, and raises errors in turn."""

    errors: list[SarlensError] = field(default_factory=list)
    reserved: list[tuple[str, str, str, int]] = field(default_factory=list)
    charged: list[tuple[str, str, str]] = field(default_factory=list)

    async def admit(self, owner: str, model: str, image_request: ImageRequest, requests: int) -> CallerPolicy:
        """Reserve requests."""
        self.reserved.append((owner, model, str(image_request.location), requests))
        if self.errors:
            raise self.errors.pop(0)
        return POLICY

    async def charge(self, owner: str, model: str, answer: TaskAnswer) -> None:
        """Record an answer."""
        self.charged.append((owner, model, answer.text))


@dataclass
class Attempt:
    """Arguments of one call of ``run_tasks``."""

    image: TaskImage
    questions: list[str]
    prompts: list[str]
    request_id: str
    policy: CallerPolicy


class Harness:
    """A tile runner whose attempts have the given results per question; the default is an answer."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *attempts: dict[int, Result] | SarlensError, timeout_s: float = 60.0
    ) -> None:
        self.account = Account()
        self.stopping = asyncio.Event()
        self.attempts: list[Attempt] = []
        self._results = list(attempts)
        monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
        monkeypatch.setattr(tile_runner, "run_tasks", self._run_tasks)
        spec = SurveySpec(url=URL, tile=256)
        tiles = (Window(0, 0, 256, 256), Window(256, 0, 100, 256))
        plan = SurveyPlan("x", "v1", "nano", 128, None, RenderParams(filter="none"), tiles, spec)
        job = Job("survey", "gis", "{}", id="job")
        self.runner = TileRunner(cast("Any", None), cast("Any", self.account), plan, job, timeout_s, self.stopping)

    async def _run_tasks(
        self,
        _: Any,
        image: TaskImage,
        tasks: Sequence[Task],
        sampling: Sampling,
        request_id: str,
        policy: CallerPolicy,
    ) -> AsyncIterator[TaskOutcome]:
        assert sampling.confidence
        questions, prompts = [task.question for task in tasks], [task.prompt for task in tasks]
        self.attempts.append(Attempt(image, questions, prompts, request_id, policy))
        results = self._results.pop(0) if self._results else {}
        if isinstance(results, SarlensError):
            raise results
        for index in reversed(range(len(tasks))):
            number = int(tasks[index].question.split()[1][0])
            yield TaskOutcome(index, results.get(number, TaskAnswer(f"Answer {number}", {"total_tokens": 9}, 0.1)))

    async def run(self) -> dict[int, str]:
        """Run tile 1, and return the text or the code of each result."""
        results = await self.runner.run(1, TASKS)
        return {
            index: result.text if isinstance(result, TaskAnswer) else result.code for index, result in results.items()
        }


async def test_a_tile_reserves_its_requests_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tasks are one reservation of three requests, one attempt, and three charges."""
    harness = Harness(monkeypatch)
    assert await harness.run() == {0: "Answer 0", 2: "Answer 2", 5: "Answer 5"}
    assert harness.account.reserved == [("gis", "nano", URL, 3)]
    assert harness.account.charged == [("gis", "nano", f"Answer {number}") for number in (5, 2, 0)]
    (attempt,) = harness.attempts
    assert (attempt.request_id, attempt.policy) == ("job-1", POLICY)
    assert (attempt.image.location, attempt.image.version, attempt.image.model) == (URL, "v1", "nano")
    assert attempt.image.render == RenderParams(filter="none", window=(256, 0, 100, 256))


async def test_only_transient_errors_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a transient error of one task, the second attempt has and reserves that task alone."""
    harness = Harness(monkeypatch, {2: WorkerFailed("broken"), 5: BadRequest("wrong")})
    assert await harness.run() == {0: "Answer 0", 2: "Answer 2", 5: "bad_request"}
    assert [attempt.questions for attempt in harness.attempts] == [
        ["Question 0?", "Question 2?", "Question 5?"],
        ["Question 2?"],
    ]
    assert [requests for *_, requests in harness.account.reserved] == [3, 1]
    assert [text for *_, text in harness.account.charged] == ["Answer 0", "Answer 2"]


async def test_a_shared_error_is_retried_for_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """If an attempt fails as a whole with a transient error, all tasks are reserved and run again."""
    harness = Harness(monkeypatch, NoWorkerAvailable("none"), NoWorkerAvailable("none"))
    assert await harness.run() == {0: "Answer 0", 2: "Answer 2", 5: "Answer 5"}
    assert [requests for *_, requests in harness.account.reserved] == [3, 3, 3]
    assert len(harness.account.charged) == 3


async def test_a_used_up_quota_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile over the quota is neither run nor charged until a reservation succeeds."""
    harness = Harness(monkeypatch)
    harness.account.errors = [QuotaExceeded("later"), QuotaExceeded("later")]
    await harness.run()
    assert (len(harness.account.reserved), len(harness.attempts), len(harness.account.charged)) == (3, 1, 3)


@pytest.mark.parametrize("error", [AccessDenied("secret"), Unauthenticated("unknown"), NoValidPixels("blank")])
async def test_a_permanent_error_ends_the_tile(monkeypatch: pytest.MonkeyPatch, error: SarlensError) -> None:
    """A permanent error or a blank tile of one task is raised after one attempt; other answers are charged."""
    harness = Harness(monkeypatch, {2: error})
    with pytest.raises(type(error)):
        await harness.run()
    assert len(harness.attempts) == 1
    assert len(harness.account.charged) == 2


async def test_a_deleted_key_ends_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the API key is deleted, nothing is sent."""
    harness = Harness(monkeypatch)
    harness.account.errors = [Unauthenticated("deleted")]
    with pytest.raises(Unauthenticated):
        await harness.run()
    assert harness.attempts == []


async def test_the_timeout_raises_the_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the timeout, the transient error of the attempt is raised."""
    harness = Harness(monkeypatch, {0: WorkerFailed("broken")}, timeout_s=-1.0)
    with pytest.raises(WorkerFailed, match="broken"):
        await harness.run()
    assert len(harness.attempts) == 1


async def test_a_tile_without_tasks_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile without tasks has no reservation and no attempt."""
    harness = Harness(monkeypatch)
    assert await harness.runner.run(0, []) == {}
    assert (harness.account.reserved, harness.attempts) == ([], [])


class Images:
    """An image service with one picture of 128 pixels a side, of an image of 512."""

    def __init__(self) -> None:
        self.image_service = self
        self.resolved: list[tuple[Any, ...]] = []

    async def resolve(self, image_request: ImageRequest, size: int, policy: CallerPolicy, version: str) -> None:
        """Record the request."""
        self.resolved.append((image_request.location, size, policy, version))

    async def render(self, _: None) -> RenderedImage:
        """Return the picture."""
        return RenderedImage(b"", "image/png", 128, 128, Window(0, 0, 512, 512))


async def test_boxes_of_an_image_of_unknown_size_follow_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PNG has a size once it is rendered: the prompt has the box of the picture, and a box outside is an error."""
    harness, images = Harness(monkeypatch), Images()
    plan = replace(harness.runner.plan, tiles=(None,))
    runner = replace(harness.runner, inference=cast("Any", images), plan=plan)
    tasks = [(0, vqa_task("Question 0 about [40, 80, 120, 160]?", None)), (1, vqa_task("Question 1?", None))]
    assert (await runner.run(0, tasks)).keys() == {0, 1}
    (attempt,) = harness.attempts
    assert attempt.questions == [task.question for _, task in tasks]
    assert ["[10, 20, 30, 40]" in prompt for prompt in attempt.prompts] == [True, False]
    assert images.resolved == [(URL, 128, POLICY, "v1")]
    assert (await runner.run(0, tasks[1:])).keys() == {1}
    assert len(images.resolved) == 1
    outside = await runner.run(0, [(0, vqa_task("Question 0 about [600, 80, 9, 9]?", None))])
    assert isinstance(outside[0], BadRequest)
