"""One request goes to one worker after another until one begins to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

from sarlens.call import Call
from sarlens.errors import NoWorker, SarlensError, Timeout, WorkerFailed
from sarlens.metrics import Metrics
from sarlens.routing.policy import Candidate, Router
from sarlens.workers.breaker import RetryBudget
from sarlens.workers.client import Reply
from sarlens.workers.hedge import hedged
from sarlens.workers.leading import Leaders
from sarlens.workers.pool import PIXELS, Pool, Worker

_FULL = frozenset({429, 503})
_STREAMED_ERROR = b'data: {"error"'


class _Begun(NamedTuple):
    """An answer that has begun, and what has to be closed when it is over."""

    reply: Reply
    stack: AsyncExitStack


class _Judged:
    """A stream that tells what to think of its worker when it ends."""

    __slots__ = ("_reply", "_worker", "content_type", "first", "status", "streams")

    def __init__(self, reply: Reply, worker: Worker) -> None:
        self._reply = reply
        self._worker = worker
        self.status = reply.status
        self.content_type = reply.content_type
        self.streams = reply.streams
        self.first = reply.first

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        try:
            async for chunk in self._reply.chunks():
                yield chunk
        except (WorkerFailed, Timeout) as error:
            self._worker.judge(error)
            raise
        self._worker.judge(None)


class Dispatcher:
    """Sends requests where they are answered soonest, and elsewhere when that fails.

    Until the first byte of an answer is here the caller has seen nothing, so that the request may move to the next
    worker, as often as the budget allows. ``hedge_s`` is the wait after which a second worker is asked as well.
    """

    def __init__(
        self,
        pool: Pool,
        router: Router,
        leaders: Leaders,
        budget: RetryBudget,
        metrics: Metrics,
        *,
        hedge_s: float | None,
    ) -> None:
        self._pool = pool
        self._router = router
        self._leaders = leaders
        self._budget = budget
        self._metrics = metrics
        self._hedge_s = hedge_s

    @asynccontextmanager
    async def answer(self, model: str, call: Call) -> AsyncIterator[Reply]:
        """A worker's answer, open for as long as the context lasts.

        Raises:
            SarlensError: what the last worker tried did, or what is wrong with an image.
        """
        self._budget.earn()
        if call.ids:
            arrive = await self._leaders.turn(
                "+".join(call.ids), lambda: any(worker.residency.has(call.ids) for worker in self._pool.serving(model))
            )
            try:
                begun = await self._begin(model, call)
            finally:
                arrive()
        else:
            begun = await self._begin(model, call)
        async with begun.stack:
            yield begun.reply

    async def _begin(self, model: str, call: Call) -> _Begun:
        workers = self._ranked(model, call)
        declined: Reply | None = None
        failure: SarlensError = NoWorker("The last worker with this model has just left.", retry_after=2)
        for number in range(len(workers)):
            if number and not self._budget.spend():
                break
            try:
                begun = await self._hedged(workers[number : number + 2], call)
            except (WorkerFailed, Timeout) as error:
                failure = error
                self._metrics.retries.labels(error.code).inc()
                continue
            if not _declines(begun.reply):
                return begun
            await begun.stack.aclose()
            declined = begun.reply
            self._metrics.retries.labels("declined").inc()
        if declined is None:
            raise failure
        if declined.status in _FULL:
            raise NoWorker("Every worker with this model is full. Try again in a moment.", retry_after=1)
        return _Begun(declined, AsyncExitStack())

    def _ranked(self, model: str, call: Call) -> list[Worker]:
        workers = self._pool.serving(model)
        if not workers:
            return []
        candidates = [
            Candidate(
                worker.client.url,
                worker.load,
                1 + call.pixels_for(worker) / PIXELS,
                worker.share,
                call.known_to(worker),
                worker.breaker.open,
            )
            for worker in workers
        ]
        return [workers[i] for i in self._router.rank(candidates, call.ids[0] if call.ids else None)]

    async def _hedged(self, workers: list[Worker], call: Call) -> _Begun:
        if self._hedge_s is None or len(workers) < 2 or not call.repeatable:
            return await self._attempt(workers[0], call)
        first, second = (partial(self._attempt, worker, call) for worker in workers)
        return await hedged(
            (first, second),
            after_s=self._hedge_s,
            allowed=self._budget.spend,
            discard=lambda begun: begun.stack.aclose(),
        )

    async def _attempt(self, worker: Worker, call: Call) -> _Begun:
        async with AsyncExitStack() as stack:
            held = frozenset(name for name in call.ids if name in worker.residency)
            processed = stack.enter_context(worker.carrying(call.ids, call.pixels_for(worker)))
            reply = await self._send(stack, worker, call, held)
            if held and _doubtful(reply):
                # It has forgotten them, or something else is wrong; with all the data it can only be the latter.
                worker.residency.forget(held)
                self._metrics.pictures_sent.labels("missed").inc(len(held))
                reply = await self._send(stack, worker, call, frozenset())
            if not _doubtful(reply):
                worker.residency.learn(call.ids)
            processed()
            if reply.streams and not _fails(reply):
                return _Begun(_Judged(reply, worker), stack.pop_all())
            worker.judge(WorkerFailed("It answers with errors.") if _fails(reply) else None)
            return _Begun(reply, stack.pop_all())

    async def _send(self, stack: AsyncExitStack, worker: Worker, call: Call, held: Iterable[str]) -> Reply:
        held = frozenset(held)
        body = await call.body(held)
        stack.enter_context(self._metrics.stage("worker"))
        try:
            reply = await stack.enter_async_context(
                worker.client.send(call.path, body, call.request_id, stream=call.stream)
            )
        except (WorkerFailed, Timeout) as error:
            worker.judge(error)
            raise
        if call.ids:
            self._metrics.pictures_sent.labels("id").inc(len(held))
            self._metrics.pictures_sent.labels("data").inc(len(call.ids) - len(held))
        return reply


def _doubtful(reply: Reply) -> bool:
    return reply.status >= 400 or reply.first.startswith(_STREAMED_ERROR)


def _fails(reply: Reply) -> bool:
    """Whether an answer speaks against the worker's health; being full does not."""
    return (reply.status >= 500 and reply.status not in _FULL) or reply.first.startswith(_STREAMED_ERROR)


def _declines(reply: Reply) -> bool:
    """Whether another worker may do better."""
    return _fails(reply) or reply.status in _FULL
