"""The dispatcher: sends a request to workers in ranked order until one responds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from sarlens.errors import Timeout, WorkerFailed
from sarlens.inference.attempt import DispatchedResponse, WorkerAttempts
from sarlens.inference.batch_request import BatchRequest
from sarlens.inference.failover import BatchUnanswered, Failover, WorkerDeclined, retry_reason
from sarlens.inference.reply_parser import Completion, parse_batch
from sarlens.inference.worker_ranking import WorkerRanking
from sarlens.inference.worker_request import WorkerRequest
from sarlens.inference.worker_response import JudgedResponse, RejectedResponse
from sarlens.observability.metrics import Metrics
from sarlens.workers.coalescing import RequestCoalescer
from sarlens.workers.hedging import hedged_request
from sarlens.workers.retry_budget import RetryBudget
from sarlens.workers.worker import Worker

_NO_ROUTE_STATUSES = frozenset({404, 405})


class Dispatcher:
    """Sends each request to the best-ranked worker, and to another one if that fails.

    Before the first byte of a response the caller has received nothing, so the request can move to another worker as
    long as ``Failover`` allows. After ``hedge_after_s`` seconds a second worker gets an idempotent request too.
    ``name_worker`` returns the name of the worker at a URL in route receipts.
    """

    def __init__(
        self,
        ranking: WorkerRanking,
        coalescer: RequestCoalescer,
        retry_budget: RetryBudget,
        metrics: Metrics,
        *,
        hedge_after_s: float | None,
        name_worker: Callable[[str], str],
    ) -> None:
        self._ranking = ranking
        self._coalescer = coalescer
        self._retry_budget = retry_budget
        self._metrics = metrics
        self._attempts = WorkerAttempts(coalescer, metrics, name_worker)
        self._hedge_after_s = hedge_after_s

    def dispatch(self, model: str, request: WorkerRequest) -> Coroutine[Any, Any, DispatchedResponse]:
        """Return the response of a worker. The caller must close it.

        Raises:
            SarlensError: the failure of the last worker, or an error in an image.
        """
        self._retry_budget.on_request()
        if request.image_ids:
            return self._dispatch_after_leader(model, request)
        return self._send_with_failover(self._ranking.rank(model, request), request)

    async def _dispatch_after_leader(self, model: str, request: WorkerRequest) -> DispatchedResponse:
        """Dispatch a request when no other one is sending the same images."""
        release = await self._wait_for_leader(model, request)
        try:
            return await self._send_with_failover(self._ranking.rank(model, request), request)
        finally:
            release()

    async def dispatch_batch(self, model: str, batch: BatchRequest) -> list[Completion]:
        """Return the answers of a worker to the chats of a batch, in their order.

        The workers are ranked as for a single chat. If the first of them has no batch route, no other one is tried.

        Raises:
            BatchUnanswered: no worker answered the batch.
            SarlensError: all workers are full, or an error in an image.
        """
        release = await self._wait_for_leader(model, batch)
        try:
            workers = self._ranking.rank(model, batch)
            failover = Failover(workers, self._retry_budget, self._metrics, batch.visits)
            while (worker := failover.next_worker()) is not None:
                try:
                    return await self._attempt_batch(worker, failover, batch)
                except (WorkerFailed, WorkerDeclined, Timeout):
                    continue
        finally:
            release()
        raise failover.conclude_batch(batch.ranked)

    async def dispatch_after_batch(
        self, model: str, request: WorkerRequest, unanswered: BatchUnanswered
    ) -> DispatchedResponse:
        """Return the response of a worker to one chat of a batch that no worker answered; raises as ``dispatch``.

        If a worker failed to answer the batch, this is the second visit and costs retry budget.
        """
        failure = unanswered.failure
        if failure is None:
            return await self.dispatch(model, request)
        request.visits.add()
        request.ranked = (*request.ranked, *unanswered.ranked)
        if not unanswered.workers or not self._retry_budget.try_spend():
            raise failure
        self._metrics.retries.labels(retry_reason(failure)).inc()
        return await self._send_with_failover(unanswered.workers, request)

    async def _wait_for_leader(self, model: str, request: WorkerRequest) -> Callable[[], None]:
        """Wait while another request sends the same images; call the returned function after the response."""
        return await self._coalescer.wait_for_leader(
            "+".join(request.image_ids),
            lambda: self._ranking.is_held(model, request.image_ids),
        )

    async def _send_with_failover(self, workers: Iterable[Worker], request: WorkerRequest) -> DispatchedResponse:
        failover = Failover(workers, self._retry_budget, self._metrics, request.visits)
        while (worker := failover.next_worker()) is not None:
            try:
                return await self._attempt_hedged(worker, failover, request)
            except (WorkerFailed, WorkerDeclined, Timeout):
                continue
        return DispatchedResponse(failover.conclude())

    def _attempt_hedged(
        self, worker: Worker, failover: Failover, request: WorkerRequest
    ) -> Awaitable[DispatchedResponse]:
        if self._hedge_after_s is None or not request.is_idempotent:
            return self._attempts.run(worker, failover, request)
        return hedged_request(
            (
                lambda: self._attempts.run(worker, failover, request),
                lambda: self._attempts.run(failover.take_hedge(), failover, request),
            ),
            after_s=self._hedge_after_s,
            may_hedge=failover.may_hedge,
            discard=DispatchedResponse.discard,
        )

    async def _attempt_batch(self, worker: Worker, failover: Failover, batch: BatchRequest) -> list[Completion]:
        """Send a batch to one worker, and record whether it has the route; raises as ``WorkerAttempts.run``.

        Raises:
            BatchUnanswered: the worker has no batch route, or rejects the batch.
        """
        route = worker.batch_route
        if route.exists is False:
            raise BatchUnanswered
        try:
            dispatched = await self._attempts.run(worker, failover, batch)
        except WorkerDeclined:
            self._metrics.batches.labels("rejected").observe(batch.chats)
            raise
        except (WorkerFailed, Timeout):
            route.on_missing()
            self._metrics.batches.labels("failed").observe(batch.chats)
            raise
        dispatched.close()
        completions = _read_answers(dispatched.response, worker, batch)
        self._metrics.batches.labels("rejected" if completions is None else "answered").observe(batch.chats)
        if completions is None:
            self._metrics.retries.labels("batch").inc(batch.chats)
            raise BatchUnanswered
        self._retry_budget.on_request(batch.chats)
        return completions


def _read_answers(response: JudgedResponse, worker: Worker, batch: BatchRequest) -> list[Completion] | None:
    """Return the answers to a batch, or None if the worker has no batch route or rejects the batch."""
    route = worker.batch_route
    if isinstance(response, RejectedResponse):
        if response.status in _NO_ROUTE_STATUSES:
            route.on_missing()
        else:
            route.on_rejection()
        return None
    try:
        completions = parse_batch(response, batch.chats)
    except WorkerFailed:
        route.on_missing()
        worker.known_images.discard(batch.image_ids)  # a server that answers anything may not have read them
        return None
    route.on_answer()
    return completions
