"""The run itself: every text of a selection that has no answer yet is asked, many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sarbench.dataset.rows import Item
from sarbench.errors import RunError, SarbenchError
from sarbench.run.answers import Answer
from sarbench.run.endpoint import Endpoint, NoAnswer
from sarbench.run.ledger import Ledger
from sarbench.run.pictures import Pictures
from sarbench.run.plan import Plan

ERRORS = "errors.jsonl"
HOPELESS = 20
"""Texts that fail in a row before the endpoint is held to be gone."""


@dataclass
class Tally:
    """How far a run is."""

    answered: int = 0
    failed: int = 0
    in_a_row: int = 0


@dataclass(frozen=True)
class Asker:
    """Everything that asking one text takes."""

    plan: Plan
    pictures: Pictures
    endpoint: Endpoint
    attempts: int
    answers: Ledger
    errors: Ledger
    tally: Tally

    async def ask(self, item: Item) -> None:
        """Ask one text and write down its answer, or why there is none.

        Raises:
            RunError: the endpoint is gone, or the disk takes no more.
        """
        begun = time.monotonic()

        def record(attempt: int, failure: NoAnswer) -> None:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = {"key": item.key, "attempt": attempt, "status": failure.status, "error": failure.reason, "at": at}
            self.errors.append(line)

        try:
            image_url = await self._image_url(item, record)
            answer = await self.endpoint.ask_patiently(self.plan.request(item, image_url), self.attempts, record)
        except NoAnswer as failure:
            self._count_failure(failure)
        else:
            self.answers.append(asdict(Answer.to(item, answer, time.monotonic() - begun)))
            self.tally.answered += 1
            self.tally.in_a_row = 0

    async def _image_url(self, item: Item, record: Callable[[int, NoAnswer], None]) -> dict[str, Any]:
        try:
            return await self.pictures.image_url(item.image)
        except NoAnswer as failure:
            record(1, failure)
            raise

    def _count_failure(self, failure: NoAnswer) -> None:
        """One text's own fault, such as a corrupt image, says nothing of the endpoint once that has answered."""
        self.tally.failed += 1
        self.tally.in_a_row += failure.passing or not self.tally.answered
        if self.tally.in_a_row >= HOPELESS:
            raise RunError(
                f"{HOPELESS} texts in a row got no answer, the last because: {failure.reason}. "
                f"{self.tally.answered} answers of this sitting are kept; the same command goes on from there"
            )


async def ask_all(items: Iterable[Item], asker: Asker, concurrency: int, done: Callable[[], None]) -> None:
    """Ask every item, ``concurrency`` at once; ``done`` is called after each.

    Raises:
        SarbenchError: the run cannot go on; what was answered is kept.
    """
    waiting = iter(items)
    turn = asyncio.Lock()

    async def work() -> None:
        while (item := await _next(waiting, turn)) is not None:
            await asker.ask(item)
            done()

    stopped: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except* SarbenchError as failed:
        stopped = failed.exceptions[0]
    if stopped:
        raise stopped


async def _next(waiting: Iterator[Item], turn: asyncio.Lock) -> Item | None:
    """The next item; reading it may wait for a disk or a network, so it is read in a thread, by one at a time."""
    async with turn:
        return await asyncio.to_thread(next, waiting, None)
