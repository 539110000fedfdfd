"""Tile runner: asks the workers the questions about one tile, with retries, on the owner's quota."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sarlens.errors import NoValidPixels, SarlensError
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.pipeline import InferencePipeline
from sarlens.inference.sar_tasks import Task, TaskAnswer, TaskImage, run_tasks
from sarlens.jobs.models import Job
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.quota_account import QuotaAccount
from sarlens.surveys.regions import first_box
from sarlens.surveys.retry import PERMANENT_ERRORS, TRANSIENT_ERRORS, Backoff, pause
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest

Result = TaskAnswer | SarlensError
IndexedTask = tuple[int, Task]
"""Index of the question, and its task."""


@dataclass(frozen=True, slots=True)
class TileRunner:
    """Runs the tasks of a job's tiles."""

    inference: InferencePipeline
    quota_account: QuotaAccount
    plan: SurveyPlan
    job: Job
    retry_timeout_s: float
    stopping: asyncio.Event
    """If set, no further attempt begins."""

    async def run(self, tile: int, tasks: Sequence[IndexedTask]) -> dict[int, Result]:
        """Return the answer or the error of each task by its index. Transient errors are retried.

        Raises:
            NoValidPixels: the tile is blank.
            SarlensError: a permanent error, or a transient error after the timeout.
            JobSuspended: ``stopping`` is set before the next attempt.
        """
        results: dict[int, Result] = {}
        backoff = Backoff(self.retry_timeout_s)
        pending = list(tasks)
        while pending:
            results |= await self._attempt(tile, pending)
            for result in results.values():
                if isinstance(result, (*PERMANENT_ERRORS, NoValidPixels)):
                    raise result
            pending = [task for task in tasks if isinstance(results[task[0]], TRANSIENT_ERRORS)]
            errors = [result for result in results.values() if isinstance(result, TRANSIENT_ERRORS)]
            if errors:
                await pause(backoff.next_pause_s(errors[0]), self.stopping)
        return results

    async def _attempt(self, tile: int, tasks: Sequence[IndexedTask]) -> dict[int, Result]:
        """Run the tasks once; one reservation covers all of them."""
        plan, owner = self.plan, self.job.owner
        image = TaskImage(
            plan.model, plan.profile, "", {}, plan.url, plan.render_params_for(tile), 0.0, version=plan.version
        )
        request_id = f"{self.job.id}-{tile}"
        results: dict[int, Result] = {}
        try:
            image_request = ImageRequest(plan.url, plan.render)
            policy = await self.quota_account.admit(owner, plan.model, image_request, len(tasks))
            if plan.boxes(tile) is None:
                tasks = await self._for_picture(tasks, policy)
            outcomes = run_tasks(
                self.inference, image, [task for _, task in tasks], plan.spec.sampling, request_id, policy
            )
            async for outcome in outcomes:
                results[tasks[outcome.index][0]] = outcome.result
                if isinstance(outcome.result, TaskAnswer):
                    await self.quota_account.charge(owner, plan.model, outcome.result)
        except SarlensError as error:
            return {index: error for index, _ in tasks}
        return results

    async def _for_picture(self, tasks: Sequence[IndexedTask], policy: CallerPolicy) -> Sequence[IndexedTask]:
        """Return the tasks with the boxes of the picture of an image whose size only its pixels tell."""
        if not any(first_box(task.prompt) for _, task in tasks):
            return tasks
        plan, images = self.plan, self.inference.image_service
        resolved = await images.resolve(ImageRequest(plan.url, plan.render), plan.size, policy, plan.version)
        boxes = PictureBoxes((await images.render(resolved)).frame, plan.profile.boxes.format)
        return [(index, task.for_picture(boxes)) for index, task in tasks]
