"""Metrics of the gateway. Label values come from closed sets, never from a request."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

import sarlens
from sarlens.observability import tracing
from sarlens.observability.instruments import ExemplarHistogram, KeyedCounter, LabeledCounter, PlainGauge

MULTIPROC_DIR_ENV = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that prometheus_client reads at import: the directory in which processes share their metrics."""

Stage = Literal["fetch", "decode", "detect", "render", "queue", "admission", "worker"]
Outcome = Literal["answered", "refused", "failed", "gone"]
Rejection = Literal[
    "queue_full",
    "key_queue_full",
    "outranked",
    "fair_share",
    "queue_timeout",
    "deadline",
    "memory",
    "client_memory",
]
"""Reason for rejecting a request.

``queue_full`` and ``key_queue_full`` are at arrival. A request of higher priority took the place in the queue for
``outranked``, and one of an API key with fewer queued requests for ``fair_share``.
"""

Closure = Literal[
    "idle",
    "head_timeout",
    "head_size",
    "body_timeout",
    "write_timeout",
    "linger",
    "pipeline",
    "max_connections",
    "max_files",
]
"""Reason for closing a connection."""

CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client disconnected, as nginx logs it; it is never sent."""

_LATENCY_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip

_TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576)
"""Buckets of OpenTelemetry's ``gen_ai.client.token.usage``, up to a million tokens."""
_BYTE_BUCKETS = tuple(4**power for power in range(5, 13))  # 1 KiB to 16 MiB
_BATCH_BUCKETS = (2, 4, 8, 16, 32, 64)


# Without this, each series has a second one with the time of its creation.
disable_created_metrics()  # type: ignore[no-untyped-call]


def outcome_of(status: int) -> Outcome:
    """Outcome of an HTTP status: ``refused`` if the client caused the error, ``failed`` if the service did."""
    if status == CLIENT_CLOSED_REQUEST:
        return "gone"
    if status < 400:
        return "answered"
    return "refused" if status < 500 else "failed"


class Metrics:
    """Instruments of one gateway, in a registry of its own.

    With ``label_keys``, the counters of requests, errors, tokens and rejections have the label ``key``: the name of the
    API key, or an empty text without one.
    """

    def __init__(self, *, label_keys: bool = False) -> None:
        self.workers: dict[str, int] = {}
        """Base URLs of the workers that have series."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = _LATENCY_BUCKETS_S) -> Histogram:
            return ExemplarHistogram(name, text, labels, buckets=buckets, registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return LabeledCounter(name, text, labels, registry=self.registry)

        def keyed_counter(name: str, text: str, *labels: str) -> LabeledCounter:
            if not label_keys:
                return LabeledCounter(name, text, labels, registry=self.registry)
            return KeyedCounter(name, text, (*labels, "key"), registry=self.registry)

        def gauge(
            name: str, text: str, *labels: str, together: Literal["livesum", "livemax", "livemin"] = "livesum"
        ) -> Gauge:
            return PlainGauge(name, text, labels, registry=self.registry, multiprocess_mode=together)

        self.build = gauge(
            "sarlens_build_info", "Version of the gateway, as a label; always 1.", "version", together="livemax"
        )
        self.build.labels(sarlens.__version__).set(1)
        self.requests = keyed_counter("sarlens_requests", "Completed requests.", "route", "status", "outcome")
        self.errors = keyed_counter("sarlens_errors", "Errors sent to clients.", "code")
        self.latency = histogram(
            "sarlens_request_duration_seconds",
            "Seconds from the arrival of a request to the end of its response.",
            "route",
            "outcome",
        )
        self.first_token = histogram(
            "sarlens_time_to_first_token_seconds",
            "Seconds from the arrival of a request to the first streamed token.",
            "model",
        )
        self.per_token = histogram(
            "sarlens_time_per_output_token_seconds",
            "Mean seconds per streamed token after the first, per response.",
            "model",
        )
        self.stages = histogram("sarlens_stage_duration_seconds", "Seconds spent in one stage of a request.", "stage")
        self.tokens = keyed_counter(
            "sarlens_tokens", "Tokens that workers report, prompt and completion.", "model", "kind"
        )
        self.fetched_bytes = counter("sarlens_fetched_bytes", "Bytes of images read from their source.", "scheme")
        self.source = counter(
            "sarlens_source_requests",
            "Images requested from a source: found, or the code of the error.",
            "scheme",
            "result",
        )
        self.cache = counter(
            "sarlens_picture_cache_requests", "Lookups in the cache of rendered images and map tiles.", "result"
        )
        self.images_sent = counter(
            "sarlens_pictures_sent",
            "Images sent to workers: as data, as an id, or as an id that the worker didn't know.",
            "form",
        )
        self.retries = counter(
            "sarlens_retries", "Requests sent to a worker again, before the first byte of a response.", "reason"
        )
        self.batches = Histogram(
            "sarlens_batch_questions",
            "Questions per request to the batch route of a worker; those of a rejected or failed one are sent again.",
            ["result"],
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
        self.surveys = counter("sarlens_surveys", "Completed surveys: successful or failed.", "ended")
        self.survey_tiles = counter(
            "sarlens_survey_tiles", "Completed survey tiles: answered, blank or failed.", "ended"
        )
        self.ended_batches = counter("sarlens_batches", "Ended batches: successful, failed or dismissed.", "ended")
        self.batch_lines = counter(
            "sarlens_batch_lines", "Lines of batches with a result: completed or failed.", "ended"
        )
        self.queued = gauge("sarlens_queued_requests", "Requests in the admission queue.")
        self.waiting_for_model = gauge(
            "sarlens_requests_waiting_for_model",
            "Requests that wait for a ready worker of a model whose workers may be scaled to zero.",
            "model",
        )
        self.rejections = keyed_counter("sarlens_shed_requests", "Requests rejected by admission control.", "reason")
        self.connections = gauge("sarlens_http_connections", "Open HTTP connections of clients.")
        self.closed_connections = counter(
            "sarlens_http_connections_closed", "HTTP connections that the gateway closed at a limit.", "reason"
        )
        self.keys_loaded = gauge(
            "sarlens_keys_loaded_timestamp_seconds",
            "Time at which the file of API keys was loaded, in seconds since 1970; 0 without a file.",
            together="livemin",
        )
        self.keys_reload_failing = gauge(
            "sarlens_keys_reload_failing",
            "1 if the file of API keys has changed and can't be loaded, else 0.",
            together="livemax",
        )
        self.shared_quota_up = gauge(
            "sarlens_shared_quota_up", "0 if the quota server doesn't respond, else 1.", together="livemin"
        )
        self.job_database_up = gauge(
            "sarlens_job_database_up", "0 if the job database fails, else 1.", together="livemin"
        )
        self.jobs = gauge(
            "sarlens_jobs",
            "Active jobs in the job database, of all gateways: accepted or running.",
            "process",
            "status",
            together="livemax",
        )
        self.shared_quota_up.set(1)
        self.job_database_up.set(1)
        self.discovery_failures = counter(
            "sarlens_discovery_failures", "Worker discovery attempts that failed; known workers stay.", "place"
        )
        self.worker_ready = gauge(
            "sarlens_worker_ready", "1 if a worker passes its health check, else 0.", "worker", together="livemax"
        )
        self.worker_in_flight = gauge(
            "sarlens_worker_in_flight_requests", "Requests in progress at a worker.", "worker"
        )
        self.worker_breaker = gauge(
            "sarlens_worker_breaker_open",
            "1 if the circuit breaker of a worker is open, else 0.",
            "worker",
            together="livemax",
        )
        self.worker_failures = counter(
            "sarlens_worker_failures", "Worker failures that count for its circuit breaker.", "worker"
        )
        self.worker_affinity = counter(
            "sarlens_worker_affinity_requests",
            "Responses about images: hit if the worker had all of them in its cache.",
            "worker",
            "result",
        )
        self.worker_elided = counter(
            "sarlens_worker_elided_bytes", "Bytes of images not sent, since the worker had them in its cache.", "worker"
        )
        self._add_sizes_and_delays(histogram, gauge)
        self._initialize_labels()

    def _add_sizes_and_delays(self, histogram: Callable[..., Histogram], gauge: Callable[..., Gauge]) -> None:
        """Create the instruments of sizes, and of delays that aren't those of one request."""
        self.request_tokens = histogram(
            "sarlens_request_tokens",
            "Tokens of one response, prompt and completion.",
            "model",
            "kind",
            buckets=_TOKEN_BUCKETS,
        )
        self.picture_bytes = histogram(
            "sarlens_picture_bytes", "Bytes of a rendered image, as workers get it.", buckets=_BYTE_BUCKETS
        )
        self.queue_wait = histogram(
            "sarlens_queue_wait_seconds",
            "Seconds that a request waited in the admission queue, by the priority of its API key.",
            "priority",
        )
        self.image_tasks = gauge("sarlens_image_tasks", "Images that threads read, decode or render.")
        self.loop_lag = histogram(
            "sarlens_event_loop_lag_seconds", "Seconds by which a timer of the event loop fires too late."
        )
        self.oldest_job = gauge(
            "sarlens_oldest_job_age_seconds",
            "Seconds since the submission of the oldest active job in the job database; 0 without one.",
            "process",
            "status",
            together="livemax",
        )

    def _initialize_labels(self) -> None:
        """Create series at 0, so that the first event is an increase."""
        for counter, values in (
            (self.cache, ("hit", "miss")),
            (self.images_sent, ("data", "id", "missed")),
            (self.rejections, get_args(Rejection)),
            (self.closed_connections, get_args(Closure)),
            (self.survey_tiles, ("answered", "blank", "failed")),
            (self.surveys, ("successful", "failed")),
            (self.ended_batches, ("successful", "failed", "dismissed")),
            (self.batch_lines, ("completed", "failed")),
        ):
            for value in values:
                counter.labels(value, key="")

    def observe_queue_wait(self, priority: int, seconds: float) -> None:
        """Record the wait of a request; lower priorities go first, and 0 is the default."""
        level = "default" if not priority else "high" if priority < 0 else "low"
        self.queue_wait.labels(level).observe(seconds)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[tracing.Span]:
        """Time a stage, failed or not, in the metrics and as a span of the trace."""
        start = perf_counter()
        with tracing.span(stage) as span:
            try:
                yield span
            finally:
                self.stages.labels(stage).observe(perf_counter() - start)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The metrics page for an ``Accept`` header, of all processes that share a directory, and its content type."""
        encoder, content_type = choose_encoder(accept)
        registry = self.registry
        if MULTIPROC_DIR_ENV in os.environ:
            registry = CollectorRegistry()
            registry.register(ProcessesCollector(self.workers))
        return encoder(registry), content_type


class ProcessesCollector(Collector):
    """Collects the metrics of all processes that share a directory, without the series of workers that left."""

    def __init__(self, workers: Collection[str]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Iterate over the metrics."""
        for metric in MultiProcessCollector(None).collect():  # type: ignore[no-untyped-call]
            workers = self._workers
            metric.samples = [
                sample
                for sample in metric.samples
                if "worker" not in sample.labels or sample.labels["worker"] in workers
            ]
            yield metric


class WorkerMetrics:
    """Instruments of one worker, with its label bound.

    A pod that replaces another one of the same name shares its series until that one has left.
    """

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.ready = metrics.worker_ready.labels(name)
        self.in_flight = metrics.worker_in_flight.labels(name)
        self.breaker_open = metrics.worker_breaker.labels(name)
        self.failures = metrics.worker_failures.labels(name)
        self.hits = metrics.worker_affinity.labels(name, "hit")
        self.misses = metrics.worker_affinity.labels(name, "miss")
        self.elided_bytes = metrics.worker_elided.labels(name)
        self._metrics = metrics
        self._name = name
        metrics.workers[name] = metrics.workers.get(name, 0) + 1

    def remove(self) -> None:
        """Remove the series of a worker that left."""
        metrics = self._metrics
        metrics.workers[self._name] -= 1
        if metrics.workers[self._name]:
            return
        del metrics.workers[self._name]
        # Processes that share metrics keep their values in files, so a worker that returns must not show old ones.
        for gauge in (self.ready, self.in_flight, self.breaker_open):
            gauge.set(0)
        for metric in (metrics.worker_ready, metrics.worker_in_flight, metrics.worker_breaker, metrics.worker_failures):
            metric.remove(self._name)
        metrics.worker_affinity.remove_by_labels({"worker": self._name})
        metrics.worker_elided.remove(self._name)


def remove_process(pid: int) -> None:
    """Remove the gauges of a process that exited."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
