"""Batches of questions about one image, formed from those that hold a slot at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sarlens.chat.parse import ChatRequest
from sarlens.errors import SarlensError
from sarlens.inference.failover import BatchUnanswered
from sarlens.inference.pipeline import AdmittedRequest, InferencePipeline
from sarlens.inference.reply_parser import Completion, parse_completion


@dataclass(slots=True, eq=False)
class _Member:
    """A question of a batch."""

    admitted: AdmittedRequest
    on_sent: Callable[[], object] | None
    outcome: asyncio.Future[Completion | SarlensError | BatchUnanswered]


class QuestionBatches:
    """Answers chats about one image that differ in their messages only.

    Each chat is admitted by itself. Up to ``max_questions`` of those that have a slot go to a worker as one request,
    and one by one if no worker answers that request. With a maximum of 1, each goes as soon as it has a slot.
    """

    def __init__(self, inference: InferencePipeline, max_questions: int) -> None:
        self._inference = inference
        self._max_questions = max_questions
        self._forming: list[_Member] = []

    async def answer(self, chat_request: ChatRequest, on_sent: Callable[[], object] | None = None) -> Completion:
        """Return the answer to a chat; ``on_sent`` is called before each attempt to send it to a worker.

        Raises:
            SarlensError: the chat failed.
        """
        admitted = await self._inference.admit(chat_request)
        try:
            outcome = await self._answer_in_batch(admitted, on_sent)
        except BaseException:
            self._inference.release(admitted)
            raise
        if isinstance(outcome, BatchUnanswered):
            with await self._inference.send(admitted, outcome, on_sent) as response:
                return parse_completion(response)
        self._inference.release(admitted)
        if isinstance(outcome, SarlensError):
            raise outcome
        return outcome

    async def _answer_in_batch(
        self, admitted: AdmittedRequest, on_sent: Callable[[], object] | None
    ) -> Completion | SarlensError | BatchUnanswered:
        members = self._join(admitted, on_sent)
        member = members[-1]
        if len(members) == 1:
            await self._lead(members)
        return await member.outcome

    def _join(self, admitted: AdmittedRequest, on_sent: Callable[[], object] | None) -> list[_Member]:
        """Return the forming batch with a new last member; the first member leads the batch."""
        if len(self._forming) == self._max_questions:
            self._forming = []
        self._forming.append(_Member(admitted, on_sent, asyncio.get_running_loop().create_future()))
        return self._forming

    async def _lead(self, members: list[_Member]) -> None:
        """Wait until no further question joins, send the batch and set the outcome of each member."""
        try:
            size = 0
            while size < len(members) < self._max_questions:
                size = len(members)
                await asyncio.sleep(0)
            if self._forming is members:
                self._forming = []
            for member, outcome in zip(members, await self._send(members), strict=True):
                member.outcome.set_result(outcome)
        finally:
            for member in members:
                member.outcome.cancel()  # if the leader was canceled

    async def _send(self, members: list[_Member]) -> list[Completion | SarlensError | BatchUnanswered]:
        if len(members) == 1:
            return [BatchUnanswered()]
        try:
            on_sent = partial(_notify, [member.on_sent for member in members if member.on_sent is not None])
            return [*await self._inference.send_batch([member.admitted for member in members], on_sent)]
        except (SarlensError, BatchUnanswered) as error:
            return [error] * len(members)


def _notify(listeners: Sequence[Callable[[], object]]) -> None:
    for listener in listeners:
        listener()
