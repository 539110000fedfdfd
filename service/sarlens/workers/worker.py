"""One worker: its models, its load and the images that its cache holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

import structlog

from sarlens.errors import SarlensError, Timeout, WorkerFailed, WorkerLost, WorkerUnreachable
from sarlens.observability.metrics import Metrics, WorkerMetrics
from sarlens.workers.batch_route import BatchRoute
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.clients.base import WorkerClient, WorkerStatus
from sarlens.workers.columns import WorkerColumns
from sarlens.workers.health import Health, HealthThresholds
from sarlens.workers.known_images import KnownImages
from sarlens.workers.load import WorkerLoad

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Worker:
    """One worker: its models, its readiness and its requests in flight.

    The load of a request includes the image pixels that the worker still has to prefill for it.
    """

    def __init__(
        self,
        client: WorkerClient,
        metrics: Metrics,
        *,
        name: str | None = None,
        known_images: KnownImages,
        breaker: CircuitBreaker,
        thresholds: HealthThresholds = HealthThresholds(),  # noqa: B008  immutable
    ) -> None:
        self.client = client
        self.name = name or client.url
        """Name in logs and metrics: that of a pod, or the base URL."""
        self.known_images = known_images
        self.breaker = breaker
        self.health = Health(thresholds)
        self.weight = 1.0
        self.models: dict[str, dict[str, Any]] = {}
        self.ready = False
        self.unready_reason: str | None = None
        """Why the last health check failed; None if it didn't, or there was none yet."""
        self.checked = False
        """Whether a health check has ended, well or not."""
        self.added_at = monotonic()
        self.on_change: list[Callable[[Worker], None]] = []
        """Called when the worker becomes ready, is lost, or serves other models."""
        self._probed = self._retired = False
        self._process_start_time: float | None = None
        self.load = WorkerLoad()
        self.accepts_usage: bool | None = None
        """Whether the worker accepts ``stream_options.include_usage``; None until a stream shows it."""
        self.batch_route = BatchRoute(supported=client.supports_batches)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Task[Any]] = set()
        """Tasks that wait for this worker."""
        self._metrics = WorkerMetrics(metrics, self.name)
        self.write_to(WorkerColumns(1), 0)

    def write_to(self, columns: WorkerColumns, row: int) -> None:
        """Write what routing needs to a row, from now on."""
        self._columns, self._row = columns, row
        self.load.write_to(columns, row)
        self._write_breaker()

    def _write_breaker(self) -> None:
        self._columns.open_breakers[self._row] = not self.breaker.is_closed

    def start_request(self, image_ids: Sequence[str], pixels: int, chats: int = 1) -> InFlightRequest:
        """Count the chats of a request as in flight until ``finish`` is called on the result."""
        self.breaker.on_attempt()
        request = InFlightRequest(self, image_ids, pixels, chats)
        self.show_in_flight()
        return request

    def show_in_flight(self) -> None:
        """Export the number of requests in flight."""
        self._metrics.in_flight.set(self.load.in_flight)

    def record_response(
        self, image_ids: Sequence[str], elided: Iterable[str], sizes: Mapping[str, int], *, hit: bool, chats: int = 1
    ) -> int:
        """Record a response about images, and return the size of those whose bytes weren't sent.

        Args:
            image_ids: all images of the request.
            elided: ids of the images whose bytes weren't sent.
            sizes: bytes of the images that were sent, by id.
            hit: whether the worker held all images.
            chats: number of chats of the request, the first of which has the images that were sent.
        """
        (self._metrics.hits if hit else self._metrics.misses).inc()
        elided_bytes = self.known_images.total_bytes(elided)
        self.known_images.add(image_ids, sizes)
        elided_bytes += (chats - 1) * self.known_images.total_bytes(image_ids)
        self._metrics.elided_bytes.inc(elided_bytes)
        return elided_bytes

    def record_outcome(self, failure: SarlensError | None) -> None:
        """Update the circuit breaker and the health after a response or a failure.

        An unreachable worker isn't ready until a health check succeeds.
        """
        if failure is None:
            if not self.breaker.is_closed:
                self._metrics.breaker_open.set(0)
            self.breaker.on_success()
            self._write_breaker()
            self.health.on_response()
            return
        self.breaker.on_failure()
        self._write_breaker()
        self._metrics.failures.inc()
        self._metrics.breaker_open.set(not self.breaker.is_closed)
        if isinstance(failure, WorkerFailed):
            self._on_connection_lost()
        if isinstance(failure, WorkerUnreachable):
            self.health.on_unreachable()
            self._set_ready(reason=failure.message)

    async def unless_lost(self, work: Awaitable[T]) -> T:
        """Return the result of work that waits for this worker.

        Raises:
            WorkerLost: the worker failed its health check first; the work is canceled.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        # Without the loop, Python 3.11 makes a system call to find it.
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101  a coroutine that is awaited runs in a task
        cancellations = task.cancelling()
        self._waiting.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            # The worker removes the tasks that it cancels; the caller may have canceled this one as well.
            if task in self._waiting or task.cancelling() > cancellations + 1:
                raise
            raise WorkerLost("The worker failed its health check before it responded.") from None
        finally:
            if task in self._waiting:
                self._waiting.remove(task)
            else:
                task.uncancel()

    async def probe(self) -> None:
        """Check the worker's health; read its models, its load and the start time of its process."""
        reason: str | None = None
        models_changed = False
        try:
            status = await self.client.probe()
        except Timeout as error:
            self.health.on_timeout()
            reason = error.message
        except WorkerUnreachable as error:
            self.health.on_refused()
            self._on_connection_lost()
            reason = error.message
        except WorkerFailed as error:
            self.health.on_failure()
            reason = error.message
        else:
            models_changed = self._on_status(status)
        self._set_ready(reason=reason, models_changed=models_changed)

    async def refresh_load(self) -> None:
        """Read the worker's load between health checks; if that fails, the last report remains."""
        try:
            load = await self.client.read_load()
        except (WorkerFailed, Timeout):
            return
        if load is not None:
            self.load.record_report(load)

    @property
    def needs_probes(self) -> bool:
        """Whether the worker may get requests, or has some in flight that would move if it is lost."""
        return not self._retired or self.load.in_flight > 0

    def retire(self) -> None:
        """Mark the worker as gone and remove its metrics. Requests in flight continue while it passes its checks."""
        self.ready, self._retired = False, True
        self.write_to(WorkerColumns(1), 0)
        self.known_images.close()
        self._metrics.remove()

    def _on_status(self, status: WorkerStatus) -> bool:
        """Record what the worker says of itself, and return whether it serves other models than before."""
        models_changed, self.models = status.models.keys() != self.models.keys(), status.models
        self.health.on_success()
        self.load.record_report(status.load)
        started_at = status.process_start_time
        if started_at is not None:
            if self._process_start_time not in {None, started_at}:
                log.info("worker restarted", worker=self.name)
                self.known_images.clear()
                self.batch_route.reset()
            self._process_start_time = started_at
        return models_changed

    def _on_connection_lost(self) -> None:
        """Clear the known images if the worker may have restarted and doesn't report the start time of its process."""
        if self._process_start_time is None:
            self.known_images.clear()

    def _set_ready(self, *, reason: str | None, models_changed: bool = False) -> None:
        """Apply the readiness that the health checks give; ``reason`` explains a failed one."""
        self.unready_reason = reason
        if not self.health.ready:
            self._release_waiting()
        ready = self.health.ready and not self._retired
        changed = models_changed or ready != self.ready or not self._probed
        if ready != self.ready or not self._probed:
            event = "worker lost" if self.ready else "worker not ready yet"
            self.ready, self._probed = ready, True
            self.accepts_usage = None
            self.batch_route.reset()
            if ready:
                log.info("worker ready", worker=self.name, models=sorted(self.models))
            else:
                log.warning(event, worker=self.name, reason=reason)
        if changed:
            for listener in self.on_change:
                listener(self)
        if not self._retired:
            self._metrics.ready.set(ready)

    def _release_waiting(self) -> None:
        """End the work that waits for this worker, which isn't ready any more."""
        waiting, self._waiting = self._waiting, set()
        for task in waiting:
            task.cancel()


class InFlightRequest:
    """One request in flight at a worker, with one chat or several."""

    __slots__ = (
        "_at_worker",
        "_chats",
        "_has_images",
        "_is_sent",
        "_pending_images",
        "_pixels",
        "_sent_pixels",
        "_started_at",
        "_worker",
    )

    def __init__(self, worker: Worker, image_ids: Sequence[str], pixels: int, chats: int) -> None:
        self._worker = worker
        self._chats = chats
        self._pixels = pixels
        self._pending_images = image_ids
        self._has_images = bool(image_ids)
        self._sent_pixels = 0
        self._is_sent = False
        self._at_worker: tuple[float, int, float] | None = None
        """Requests and pixels at the worker when a request with images was sent, and the time."""
        self._started_at = worker.load.start(pixels, chats)
        if image_ids:
            worker.known_images.expect(image_ids)

    def mark_sent(self, pixels: int) -> None:
        """Record that the gateway sends the request now, possibly again, with the data of images of ``pixels``."""
        load = self._worker.load
        if not self._is_sent:
            self._is_sent = True
            load.unsent -= self._chats
        if self._has_images:
            load.sent_pixels += pixels - self._sent_pixels
            self._sent_pixels = pixels
            self._at_worker = (load.requests_at_worker, load.sent_pixels, asyncio.get_running_loop().time())

    def learn_prefill_cost(self, *, stream: bool) -> None:
        """Learn from the time that the worker took until its response began; ``stream`` is whether that is a stream."""
        if self._at_worker is not None:
            requests, pixels, sent_at = self._at_worker
            seconds = asyncio.get_running_loop().time() - sent_at
            self._worker.load.learn_prefill_cost(requests, pixels, seconds, stream=stream)

    def mark_prefilled(self) -> None:
        """Record that the worker has begun to respond, so that it has prefilled the images of the request."""
        self._worker.health.on_response()
        self._release_prefill()

    def finish(self) -> None:
        """Record the end of the request."""
        self._release_prefill()
        if not self._is_sent:
            self._worker.load.unsent -= self._chats
        self._worker.load.finish(self._started_at, self._chats)
        self._worker.show_in_flight()

    def _release_prefill(self) -> None:
        if self._pending_images:
            self._worker.known_images.settle(self._pending_images)
            self._pending_images = ()
        if self._pixels:
            self._worker.load.mark_prefilled(self._pixels)
            self._pixels = 0
        self._worker.load.sent_pixels -= self._sent_pixels
        self._sent_pixels = 0
