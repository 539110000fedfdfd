"""An attempt: one request at one worker, with the bookkeeping of its outcome."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

import structlog

from sarlens.errors import SarlensError, Timeout, WorkerFailed, WorkerLost
from sarlens.inference.failover import Failover, WorkerDeclined, WorkerErrored
from sarlens.inference.request_sender import OpenResponse, RequestSender
from sarlens.inference.worker_request import WorkerRequest
from sarlens.inference.worker_response import JudgedResponse, RejectedResponse, WorkerKeyRejected
from sarlens.inference.worker_stream import StreamedResponse
from sarlens.observability.logging import record_worker
from sarlens.observability.metrics import Metrics
from sarlens.workers.clients.base import StaleConnection
from sarlens.workers.coalescing import RequestCoalescer
from sarlens.workers.worker import InFlightRequest, Worker

log = structlog.get_logger(__name__)

_OVERLOAD_STATUSES = frozenset({429, 503})


class DispatchedResponse:
    """A response that has begun, with the bookkeeping that ends when it is closed."""

    __slots__ = ("_close_attempt", "response")

    def __init__(self, response: JudgedResponse, close_attempt: Callable[[], None] | None = None) -> None:
        self.response = response
        self._close_attempt = close_attempt

    def close(self) -> None:
        """Close the response; before its end, this aborts the generation."""
        if self._close_attempt is not None:
            self._close_attempt()

    async def discard(self) -> None:
        """Close the response, as a coroutine."""
        self.close()


class WorkerAttempts:
    """Sends requests to single workers. ``name_worker`` returns the name of the worker at a URL in route receipts."""

    def __init__(self, coalescer: RequestCoalescer, metrics: Metrics, name_worker: Callable[[str], str]) -> None:
        self._sender = RequestSender(coalescer, metrics)
        self._seconds = metrics.stages.labels("worker")
        self._name_worker = name_worker

    async def run(self, worker: Worker, failover: Failover, request: WorkerRequest) -> DispatchedResponse:
        """Send the request to one worker, and record its outcome.

        Raises:
            WorkerFailed, WorkerDeclined, Timeout: another worker may succeed.
        """
        in_flight = worker.start_request(request.image_ids, request.estimate_pixels(worker), request.chats)
        sent_at = perf_counter()
        opened: OpenResponse | None = None
        try:
            opened = await worker.unless_lost(self._sender.send(worker, request, in_flight))
            _raise_if_failed(opened.judged)
        except BaseException as error:
            if opened is not None:
                opened.close()
            in_flight.finish()
            if isinstance(error, WorkerFailed | WorkerDeclined | Timeout):
                _record_failure(worker, error)
                failover.record_failure(worker, error)
            raise
        in_flight.mark_prefilled()
        record_worker(worker.name)
        if request.receipt is not None:
            request.receipt.workers.add(self._name_worker(worker.client.url))
        if not isinstance(opened.judged, StreamedResponse):
            worker.record_outcome(None)
        return DispatchedResponse(opened.judged, partial(self._close, opened, in_flight, sent_at))

    def _close(self, opened: OpenResponse, in_flight: InFlightRequest, sent_at: float) -> None:
        opened.close()
        in_flight.finish()
        self._seconds.observe(perf_counter() - sent_at)


def _raise_if_failed(judged: JudgedResponse) -> None:
    """Raise an error if another worker may respond better."""
    if isinstance(judged, RejectedResponse):
        if judged.status in _OVERLOAD_STATUSES:
            raise WorkerDeclined(judged)
        if judged.status >= 500 and judged.status != 501:  # the model doesn't support the request
            raise WorkerErrored(judged)


def _record_failure(worker: Worker, error: SarlensError) -> None:
    """Report a failed attempt to the worker's circuit breaker.

    A worker that declines is healthy. A lost one was reported when its health check failed, and a connection that was
    closed while idle says nothing about the worker.
    """
    if isinstance(error, WorkerKeyRejected):
        log.error("the worker rejected SARLENS_WORKER__API_KEY", worker=worker.name)
    if isinstance(error, WorkerDeclined):
        worker.record_outcome(None)
    elif not isinstance(error, WorkerLost | StaleConnection):
        worker.record_outcome(error)
