"""What the gateway counts and times. Labels come from closed sets, never from what a caller sends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from sarlens import tracing

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that prometheus_client reads when it is imported: where processes keep their figures for each other."""

Stage = Literal["fetch", "decode", "render", "queue", "admission", "worker"]

_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip


class _Timed(Histogram):
    """A histogram that shows, in each bucket, the trace of the last observation that was recorded."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        super().observe(amount, exemplar or tracing.here().ids or None)


class Metrics:
    """The instruments of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def histogram(name: str, text: str, label: str) -> Histogram:
            return _Timed(name, text, [label], buckets=_SECONDS, registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str, together: Literal["livesum", "livemax"] = "livesum") -> Gauge:
            return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=together)

        self.requests = counter("sarlens_requests", "Requests answered.", "route", "status")
        self.errors = counter("sarlens_errors", "Errors told to callers.", "code")
        self.latency = histogram(
            "sarlens_request_duration_seconds", "From a request's first byte in to its last byte out.", "route"
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
        self.cache = counter("sarlens_picture_cache_requests", "Look-ups of rendered pictures.", "result")
        self.pictures_sent = counter(
            "sarlens_pictures_sent", "Pictures sent to workers: as data, as an id, or as an id that missed.", "form"
        )
        self.retries = counter("sarlens_retries", "Attempts that failed before their first byte.", "reason")
        self.survey_tiles = counter(
            "sarlens_survey_tiles", "Tiles of surveys that are done: answered, blank or failed.", "ended"
        )
        self.queued = gauge("sarlens_queued_requests", "Requests that wait for a place.")
        self.worker_ready = gauge(
            "sarlens_worker_ready", "Whether a worker answers its health check.", "worker", together="livemax"
        )
        self.worker_in_flight = gauge(
            "sarlens_worker_in_flight_requests", "Requests that a worker is answering.", "worker"
        )

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[tracing.Span]:
        """Time a stage, also when it fails; it is a span of the trace too."""
        start = perf_counter()
        with tracing.span(stage) as span:
            try:
                yield span
            finally:
                self.stages.labels(stage).observe(perf_counter() - start)

    def forget_worker(self, url: str) -> None:
        """Show a worker no longer that has left."""
        for gauge in (self.worker_ready, self.worker_in_flight):
            gauge.remove(url)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The page that Prometheus scrapes, and its content type; where processes share a folder, that of all."""
        encoder, content_type = choose_encoder(accept)
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return encoder(registry), content_type


def forget_process(pid: int) -> None:
    """Count a process no longer among those that are alive."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
