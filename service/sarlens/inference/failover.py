"""Failover: which worker gets a request next, and which failure the caller sees at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from sarlens.errors import NoWorkerAvailable, SarlensError, WorkerFailed, WorkersFull, WorkerUnreachable
from sarlens.inference.worker_response import RejectedResponse, WorkerKeyRejected
from sarlens.observability.metrics import Metrics
from sarlens.workers.clients.base import StaleConnection
from sarlens.workers.retry_budget import RetryBudget
from sarlens.workers.worker import Worker

MAX_WORKERS_PER_REQUEST = 2
"""Maximum number of workers that may have processed a request that fails; a request that crashes workers stops here."""


class WorkerErrored(WorkerFailed):
    """A worker responded with an error of its own; the request may have caused it."""

    def __init__(self, response: RejectedResponse) -> None:
        super().__init__(str(response.error["message"]))
        self.response = response


class WorkerDeclined(NoWorkerAvailable):
    """A worker declined a request without processing it, since it is full."""

    def __init__(self, response: RejectedResponse) -> None:
        super().__init__("The worker is at capacity.")
        self.response = response


class BatchUnanswered(Exception):
    """No worker answered a batch, so its chats must be sent one by one."""

    def __init__(
        self, failure: SarlensError | None = None, workers: Sequence[Worker] = (), ranked: Sequence[Worker] = ()
    ) -> None:
        """With ``failure``, a worker may have processed the batch; then only ``workers`` may get its chats.

        ``ranked`` are the workers that were ready when the batch was dispatched.
        """
        super().__init__(failure)
        self.failure = failure
        self.workers = workers
        self.ranked = ranked


class Visits:
    """The workers that may have processed one request, over all of its dispatches."""

    def __init__(self, *, idempotent: bool) -> None:
        self._count = 0
        self._max_count = MAX_WORKERS_PER_REQUEST if idempotent else 1

    def add(self) -> None:
        """Count a worker."""
        self._count += 1

    def may_add(self, running: int = 0) -> bool:
        """Return whether another worker may get the request, in addition to those where it is ``running``."""
        return self._count + running < self._max_count


class Failover:
    """The workers of one request, in order, and their failures so far. Workers are ranked as the request gets to them.

    A worker that has declined the request, or wasn't reached, hasn't processed it. Each other failure is a visit. A
    request that isn't idempotent ends with the first visit, and any other request with ``MAX_WORKERS_PER_REQUEST``.
    """

    def __init__(self, workers: Iterable[Worker], budget: RetryBudget, metrics: Metrics, visits: Visits) -> None:
        self._workers: deque[Worker] = deque()
        self._unread = iter(workers)
        self._budget = budget
        self._metrics = metrics
        self._visits = visits
        self._running = 0
        self._failure: SarlensError | None = None
        self._visit_failure: SarlensError | None = None
        self._visited: Worker | None = None
        self._declined: list[RejectedResponse] = []

    def next_worker(self) -> Worker | None:
        """Return the worker for the next attempt, or None if the request ends; a retry costs budget."""
        if not self._has_next():
            return None
        if self._failure is not None:
            if not self._visits.may_add() or not self._budget.try_spend():
                return None
            self._metrics.retries.labels(retry_reason(self._failure)).inc()
        return self._take()

    def may_hedge(self) -> bool:
        """Return whether a second worker may get the request while the first works on it; this costs budget."""
        return self._visits.may_add(self._running) and self._has_next() and self._budget.try_spend()

    def take_hedge(self) -> Worker:
        """Return the second worker, after ``may_hedge``."""
        self._metrics.retries.labels("hedge").inc()
        return self._take()

    def record_failure(self, worker: Worker, failure: SarlensError) -> None:
        """Record that an attempt has failed."""
        self._running -= 1
        self._failure = failure
        if isinstance(failure, WorkerDeclined):
            self._declined.append(failure.response)
        elif not isinstance(failure, WorkerUnreachable | WorkerKeyRejected):
            self._visits.add()
            self._visit_failure, self._visited = failure, worker
        if isinstance(failure, StaleConnection) and not self._read_next():
            self._workers.append(worker)

    def conclude(self) -> RejectedResponse:
        """Return the response of the last worker that processed the request, which is an error.

        Raises:
            SarlensError: all workers are full, none processed the request, or the last one that did sent no response.
        """
        if self._declined:
            raise _full_error(self._declined)
        failure = self._visit_failure or self._failure
        if isinstance(failure, WorkerErrored):
            return failure.response
        raise failure or NoWorkerAvailable(
            "No worker that serves this model is left. Retry in a moment.", retry_after=2
        )

    def conclude_batch(self, ranked: Sequence[Worker]) -> BatchUnanswered:
        """Return the workers that may get the chats of a batch one by one.

        A worker that responded with an error is the last of them: a single chat may have caused the error.

        Raises:
            SarlensError: all workers are full.
        """
        failure = self._visit_failure
        if failure is None:
            if self._declined:
                raise _full_error(self._declined)
            return BatchUnanswered()
        errored = [self._visited] if self._visited is not None and isinstance(failure, WorkerErrored) else []
        return BatchUnanswered(failure, (*self._workers, *self._unread, *errored), ranked)

    def _has_next(self) -> bool:
        """Return whether a worker is left that is still ready; drop those before it that aren't."""
        while self._read_next() and not self._workers[0].ready:
            self._workers.popleft()
        return bool(self._workers)

    def _read_next(self) -> bool:
        """Read the next worker unless there is one already; return whether one is left."""
        if not self._workers:
            self._workers.extend(islice(self._unread, 1))
        return bool(self._workers)

    def _take(self) -> Worker:
        self._running += 1
        return self._workers.popleft()


def retry_reason(failure: SarlensError) -> str:
    """Return the label of a retry: an error code, or why the worker hasn't processed the request."""
    if isinstance(failure, WorkerDeclined):
        return "declined"
    return "stale_connection" if isinstance(failure, StaleConnection) else failure.code


def _full_error(declined: Iterable[RejectedResponse]) -> NoWorkerAvailable:
    """Return the error for a request that workers declined, with the shortest delay that one of them states."""
    responses = list(declined)
    delays = [response.retry_after_s for response in responses if response.retry_after_s is not None]
    error_cls = WorkersFull if all(response.status == 429 for response in responses) else NoWorkerAvailable
    return error_cls(
        "Every worker that serves this model is at capacity. Retry in a moment.", retry_after=min(delays, default=1)
    )
