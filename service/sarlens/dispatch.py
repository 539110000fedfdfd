"""One request goes to one worker after another until one begins to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from time import perf_counter
from urllib.parse import urlsplit

from sarlens import tracing
from sarlens.call import Call
from sarlens.errors import NoWorker, SarlensError, Timeout, WorkerFailed
from sarlens.log import note_worker
from sarlens.metrics import Metrics
from sarlens.routing.policy import Candidate, Router
from sarlens.tracing import Span
from sarlens.workers.breaker import RetryBudget
from sarlens.workers.client import Reply
from sarlens.workers.hedge import hedged
from sarlens.workers.leading import Leaders
from sarlens.workers.pool import PIXELS, Burden, Pool, Worker

_FULL = frozenset({429, 503})
_STREAMED_ERROR = b'data: {"error"'


class Answer:
    """An answer that has begun, and what has to be closed when it is over."""

    __slots__ = ("_burden", "_metrics", "_sent", "_span", "reply")

    def __init__(self, reply: Reply, burden: Burden, sent: float, span: Span, metrics: Metrics) -> None:
        self.reply = reply
        self._burden = burden
        self._sent = sent
        self._span = span
        self._metrics = metrics

    def close(self) -> None:
        """Be done with it; before its end, this aborts the generation."""
        self.reply.close()
        self._burden.lay_down()
        self._span.end()
        self._metrics.stages.labels("worker").observe(perf_counter() - self._sent)

    async def discard(self) -> None:
        """The same, for who awaits it."""
        self.close()


class _Judged:
    """A stream that tells what to think of its worker when it ends."""

    __slots__ = ("_reply", "_span", "_worker", "content_type", "first", "status", "streams")

    def __init__(self, reply: Reply, worker: Worker, span: Span) -> None:
        self._reply = reply
        self._worker = worker
        self._span = span
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
            self._span.fail(error)
            self._worker.judge(error)
            raise
        self._worker.judge(None)

    def close(self) -> None:
        """Be done with it."""
        self._reply.close()


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
        self._as_id, self._as_data, self._missed = map(metrics.pictures_sent.labels, ("id", "data", "missed"))
        self._hedge_s = hedge_s

    async def answer(self, model: str, call: Call) -> Answer:
        """A worker's answer, which has to be closed.

        Raises:
            SarlensError: what the last worker tried did, or what is wrong with an image.
        """
        self._budget.earn()
        if not call.ids:
            return await self._begin(model, call)
        arrive = await self._leaders.turn(
            "+".join(call.ids), lambda: any(worker.residency.has(call.ids) for worker in self._pool.serving(model))
        )
        try:
            return await self._begin(model, call)
        finally:
            arrive()

    async def _begin(self, model: str, call: Call) -> Answer:
        declined: list[Answer] = []
        answer: Answer | None = None
        try:
            answer = await self._ask_each(self._ranked(model, call), call, declined)
            return answer
        finally:
            for other in declined:
                if other is not answer:
                    other.close()

    async def _ask_each(self, workers: list[Worker], call: Call, declined: list[Answer]) -> Answer:
        """The first answer that is one, else the last of those that were ``declined``."""
        failure: SarlensError = NoWorker("The last worker with this model has just left.", retry_after=2)
        for number in range(len(workers)):
            if number and not self._budget.spend():
                break
            try:
                answer = await self._hedged(workers[number : number + 2], call)
            except (WorkerFailed, Timeout) as error:
                failure = error
                self._metrics.retries.labels(error.code).inc()
                continue
            if not _declines(answer.reply):
                return answer
            declined.append(answer)
            self._metrics.retries.labels("declined").inc()
        if not declined:
            raise failure
        if declined[-1].reply.status in _FULL:
            raise NoWorker("Every worker with this model is full. Try again in a moment.", retry_after=1)
        return declined[-1]

    def _ranked(self, model: str, call: Call) -> list[Worker]:
        workers = self._pool.serving(model)
        if not workers:
            return []
        candidates = [_candidate(worker, call.pixels_for(worker)) for worker in workers]
        return [workers[i] for i in self._router.rank(candidates, call.ids[0] if call.ids else None)]

    async def _hedged(self, workers: list[Worker], call: Call) -> Answer:
        if self._hedge_s is None or len(workers) < 2 or not call.repeatable:
            return await self._attempt(workers[0], call)
        first, second = (partial(self._attempt, worker, call) for worker in workers)
        return await hedged((first, second), after_s=self._hedge_s, allowed=self._budget.spend, discard=Answer.discard)

    async def _attempt(self, worker: Worker, call: Call) -> Answer:
        hit = worker.residency.has(call.ids)
        held = frozenset(name for name in call.ids if worker.client.takes_ids and name in worker.residency)
        burden = worker.carry(call.ids, call.pixels_for(worker))
        sent = perf_counter()
        try:
            reply, span = await self._send(worker, call, held)
            if held and _doubtful(reply):
                # It has forgotten them, or something else is wrong; with all the data it can only be the latter.
                reply.close()
                span.end()
                worker.residency.forget(held)
                self._missed.inc(len(held))
                hit, held = False, frozenset()
                reply, span = await self._send(worker, call, held)
        except BaseException:
            burden.lay_down()
            raise
        burden.processed()
        note_worker(worker.client.url)
        if call.ids and not _doubtful(reply):
            worker.answered(call.ids, held, call.sizes, hit=hit)
        if reply.streams and not _fails(reply):
            reply = _Judged(reply, worker, span)
        else:
            worker.judge(WorkerFailed("It answers with errors.") if _fails(reply) else None)
        return Answer(reply, burden, sent, span, self._metrics)

    async def _send(self, worker: Worker, call: Call, held: frozenset[str]) -> tuple[Reply, Span]:
        """A worker's answer that has begun, and the span that ends with it."""
        body = await call.body(held)
        span = _span(worker, call)
        try:
            reply = await worker.client.send(call.path, body, call.request_id, span.headers, stream=call.stream)
        except BaseException as error:
            span.fail(error)
            span.end()
            if isinstance(error, WorkerFailed | Timeout):
                worker.judge(error)
            raise
        span.set({"http.response.status_code": reply.status})
        if call.ids:
            self._as_id.inc(len(held))
            self._as_data.inc(len(call.ids) - len(held))
        return reply, span


def _candidate(worker: Worker, pixels: int) -> Candidate:
    """A worker that would have to process some pixels for a request."""
    cost = 1 + pixels / PIXELS
    return Candidate(worker.client.url, worker.load, cost, worker.share, not pixels, worker.breaker.open)


def _span(worker: Worker, call: Call) -> Span:
    """The span of one request to a worker, as the semantic conventions describe it."""
    span = tracing.here().child("worker", asks=True)
    if span.recording:
        address = urlsplit(worker.client.url)
        span.set({"server.address": address.hostname or "", "server.port": address.port or 80})
        span.set({"sarlens.request_id": call.request_id, "sarlens.pictures": len(call.ids)})
    return span


def _doubtful(reply: Reply) -> bool:
    return reply.status >= 400 or reply.first.startswith(_STREAMED_ERROR)


def _fails(reply: Reply) -> bool:
    """Whether an answer speaks against the worker's health; being full does not."""
    return (reply.status >= 500 and reply.status not in _FULL) or reply.first.startswith(_STREAMED_ERROR)


def _declines(reply: Reply) -> bool:
    """Whether another worker may do better."""
    return _fails(reply) or reply.status in _FULL
