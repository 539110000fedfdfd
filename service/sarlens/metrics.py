"""What the gateway counts and times. Labels come from closed sets, never from what a caller sends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

import sarlens
from sarlens import tracing

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that prometheus_client reads when it is imported: where processes keep their figures for each other."""

Stage = Literal["fetch", "decode", "render", "queue", "admission", "worker"]
Outcome = Literal["answered", "refused", "failed", "gone"]
Shed = Literal["queue_full", "outranked", "queue_timeout", "deadline", "memory"]
"""Why a request was not let in: no place in the queue, its place taken by one of higher rank, too long a wait there,
the caller's deadline, or no memory for its body."""

GONE = 499
"""The status that nginx logs for a caller who left; it never goes out."""

_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip


class _Timed(Histogram):
    """A histogram that shows, in each bucket, the trace of the last observation that was recorded."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        super().observe(amount, exemplar or tracing.here().ids or None)


# When a series began is Prometheus' to know; each would else be there twice.
disable_created_metrics()  # type: ignore[no-untyped-call]


def outcome_of(status: int) -> Outcome:
    """What a status of HTTP says of the service: what is the caller's own fault is ``refused``, else it has failed."""
    if status == GONE:
        return "gone"
    if status < 400:
        return "answered"
    return "refused" if status < 500 else "failed"


class Metrics:
    """The instruments of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return _Timed(name, text, labels, buckets=_SECONDS, registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str, together: Literal["livesum", "livemax"] = "livesum") -> Gauge:
            return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=together)

        self.build = gauge("sarlens_build_info", "The version that runs; always 1.", "version", together="livemax")
        self.build.labels(sarlens.__version__).set(1)
        self.requests = counter("sarlens_requests", "Requests that are over.", "route", "status", "outcome")
        self.errors = counter("sarlens_errors", "Errors told to callers.", "code")
        self.latency = histogram(
            "sarlens_request_duration_seconds",
            "From a request's first byte in to its last byte out.",
            "route",
            "outcome",
        )
        self.first_token = histogram(
            "sarlens_time_to_first_token_seconds", "From a request's arrival to the first streamed token.", "model"
        )
        self.per_token = histogram(
            "sarlens_time_per_output_token_seconds", "Between streamed tokens after the first.", "model"
        )
        self.stages = histogram("sarlens_stage_duration_seconds", "Time spent in one stage of a request.", "stage")
        self.tokens = counter("sarlens_tokens", "Tokens read and written by the models.", "model", "kind")
        self.fetched_bytes = counter("sarlens_fetched_bytes", "Bytes of images moved from their source.", "scheme")
        self.source = counter(
            "sarlens_source_requests", "Images looked for: found, or an error's code.", "scheme", "result"
        )
        self.cache = counter("sarlens_picture_cache_requests", "Look-ups of rendered pictures.", "result")
        self.pictures_sent = counter(
            "sarlens_pictures_sent", "Pictures sent to workers: as data, as an id, or as an id that missed.", "form"
        )
        self.retries = counter("sarlens_retries", "Attempts that failed before their first byte.", "reason")
        self.surveys = counter("sarlens_surveys", "Surveys that are over: successful or failed.", "ended")
        self.survey_tiles = counter(
            "sarlens_survey_tiles", "Tiles of surveys that are done: answered, blank or failed.", "ended"
        )
        self.queued = gauge("sarlens_queued_requests", "Requests that wait for a place.")
        self.shed = counter("sarlens_shed_requests", "Requests that were not let in for want of room.", "reason")
        self.discovery_failures = counter(
            "sarlens_discovery_failures", "Looks for workers that failed; those found before stay.", "place"
        )
        self.worker_ready = gauge(
            "sarlens_worker_ready", "Whether a worker answers its health check.", "worker", together="livemax"
        )
        self.worker_in_flight = gauge(
            "sarlens_worker_in_flight_requests", "Requests that a worker is answering.", "worker"
        )
        self.worker_breaker = gauge(
            "sarlens_worker_breaker_open",
            "Whether a worker is asked last for its failures.",
            "worker",
            together="livemax",
        )
        self.worker_failures = counter("sarlens_worker_failures", "Failures that count for the breaker.", "worker")
        self.worker_affinity = counter(
            "sarlens_worker_affinity_requests",
            "Answers about pictures: hit where the worker had them.",
            "worker",
            "result",
        )
        self.worker_elided = counter(
            "sarlens_worker_elided_bytes", "Bytes of pictures not sent, since the worker had them.", "worker"
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show what has not happened yet, so that its first time is an increase."""
        for counter, values in (
            (self.cache, ("hit", "miss")),
            (self.pictures_sent, ("data", "id", "missed")),
            (self.shed, get_args(Shed)),
            (self.survey_tiles, ("answered", "blank", "failed")),
            (self.surveys, ("successful", "failed")),
        ):
            for value in values:
                counter.labels(value)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[tracing.Span]:
        """Time a stage, also when it fails; it is a span of the trace too."""
        start = perf_counter()
        with tracing.span(stage) as span:
            try:
                yield span
            finally:
                self.stages.labels(stage).observe(perf_counter() - start)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The page that Prometheus scrapes, and its content type; where processes share a folder, that of all."""
        encoder, content_type = choose_encoder(accept)
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return encoder(registry), content_type


class WorkerMetrics:
    """The instruments of one worker, with its labels bound."""

    def __init__(self, metrics: Metrics, url: str) -> None:
        self.ready = metrics.worker_ready.labels(url)
        self.in_flight = metrics.worker_in_flight.labels(url)
        self.breaker_open = metrics.worker_breaker.labels(url)
        self.failures = metrics.worker_failures.labels(url)
        self.hits = metrics.worker_affinity.labels(url, "hit")
        self.misses = metrics.worker_affinity.labels(url, "miss")
        self.elided_bytes = metrics.worker_elided.labels(url)
        self._metrics = metrics
        self._url = url

    def forget(self) -> None:
        """Show a worker no longer that has left."""
        # Where processes share their figures nothing can be taken back, so it is at least not shown as ready.
        for gauge in (self.ready, self.in_flight, self.breaker_open):
            gauge.set(0)
        metrics = self._metrics
        for each in (metrics.worker_ready, metrics.worker_in_flight, metrics.worker_breaker, metrics.worker_failures):
            each.remove(self._url)
        metrics.worker_affinity.remove_by_labels({"worker": self._url})
        metrics.worker_elided.remove(self._url)


def forget_process(pid: int) -> None:
    """Count a process no longer among those that are alive."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
