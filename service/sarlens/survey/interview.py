"""The questions about one tile: put to the workers, again for a while where they fail, on the owner's account."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from sarlens.errors import NothingMeasured, NoWorker, SarlensError
from sarlens.inference import Inference
from sarlens.request import Terms, View
from sarlens.survey.job import Job
from sarlens.survey.patience import FATAL, PASSING
from sarlens.survey.plan import Plan
from sarlens.tasks import Finding, Subject, Task, ask_all

Result = Finding | SarlensError
Asked = tuple[int, Task]

_LONGEST_PAUSE_S = 10.0
_UNASKED = NoWorker("Not asked yet.")


class Till(Protocol):
    """Where the work of a job is put on its owner's account."""

    def terms(self, owner: str) -> Terms:
        """The terms on which an owner is served; raises Unauthenticated where the owner's key is gone."""

    async def admit(self, owner: str, model: str, view: View, requests: int) -> Terms:
        """The terms on which requests are served now.

        Raises:
            QuotaExceeded: not yet.
            Unauthenticated, NotAllowed: the owner's key is gone, or opens this no longer.
        """

    async def charge(self, owner: str, model: str, finding: Finding) -> None:
        """Count what an answer has cost."""


@dataclass(frozen=True, slots=True)
class Interview:
    """Asks about the tiles of a job."""

    inference: Inference
    till: Till
    plan: Plan
    job: Job
    patience_s: float

    async def results(self, tile: int, tasks: Sequence[Asked]) -> dict[int, Result]:
        """What comes of each task; those that fail for a passing reason are asked again for a while.

        Raises:
            SarlensError: the survey cannot go on.
            NothingMeasured: the tile is blank.
        """
        results: dict[int, Result] = {}
        until, pause = monotonic() + self.patience_s, 0.5
        while left := [each for each in tasks if isinstance(results.get(each[0], _UNASKED), PASSING)]:
            results |= await self._ask(tile, left)
            for error in results.values():
                if isinstance(error, (*FATAL, NothingMeasured)):
                    raise error
            trouble = next((each for each in results.values() if isinstance(each, PASSING)), None)
            if trouble is not None:
                if monotonic() > until:
                    raise trouble
                await asyncio.sleep((trouble.retry_after or pause) * random.uniform(0.5, 1))  # noqa: S311
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        return results

    async def _ask(self, tile: int, tasks: Sequence[Asked]) -> dict[int, Result]:
        plan, owner = self.plan, self.job.owner
        subject = Subject(plan.model, "", {}, plan.url, plan.at(tile), 0.0, plan.version)
        results: dict[int, Result] = {}
        try:
            view = View(plan.url, plan.render)
            terms = await self.till.admit(owner, plan.model, view, len(tasks))
            outcomes = ask_all(
                self.inference,
                subject,
                [task for _, task in tasks],
                plan.commission.sampling,
                f"{self.job.id}-{tile}",
                terms,
            )
            async for outcome in outcomes:
                results[tasks[outcome.index][0]] = outcome.result
                if isinstance(outcome.result, Finding):
                    await self.till.charge(owner, plan.model, outcome.result)
        except SarlensError as error:
            return {number: error for number, _ in tasks}
        return results
