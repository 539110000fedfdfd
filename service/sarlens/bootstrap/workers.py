"""Construction of the workers, and of what sends requests to them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from sarlens.inference.dispatcher import Dispatcher
from sarlens.inference.readiness_queue import ReadinessQueue
from sarlens.inference.worker_name import worker_name
from sarlens.inference.worker_ranking import WorkerRanking
from sarlens.observability.metrics import Metrics
from sarlens.profiles.registry import Profiles
from sarlens.routing.router import Router
from sarlens.settings import Settings
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.clients.base import HealthCheck, WorkerClient
from sarlens.workers.clients.http import OpenAIHttpClient, WorkerTimeouts
from sarlens.workers.clients.http1.pool import http_connections
from sarlens.workers.coalescing import RequestCoalescer
from sarlens.workers.discovery.base_url import TRITON_SCHEMES, redacted_url
from sarlens.workers.discovery.location import make_discovery
from sarlens.workers.health import HealthThresholds
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages
from sarlens.workers.monitor import WorkerMonitor
from sarlens.workers.pool import WorkerPool
from sarlens.workers.retry_budget import RetryBudget
from sarlens.workers.worker import Worker


async def open_pool(
    settings: Settings, profiles: Profiles, metrics: Metrics, image_index: ImageIndex, stack: AsyncExitStack
) -> WorkerPool:
    """Open the pool of workers, which connects to each endpoint that discovery finds."""
    worker = settings.worker
    connections = await stack.enter_async_context(
        http_connections(connect_timeout_s=worker.connect_timeout_s, keepalive_timeout_s=worker.keepalive_timeout_s)
    )
    timeouts = WorkerTimeouts(worker.first_token_timeout_s, worker.stream_idle_timeout_s, worker.response_timeout_s)
    api_key = worker.api_key.get_secret_value() if worker.api_key else None
    templates = _load_chat_templates(profiles)

    check = HealthCheck(worker.health_path, worker.probe_timeout_s, worker.read_metrics)
    thresholds = HealthThresholds(worker.probe_failure_threshold, worker.probe_success_threshold)

    def connect(url: str) -> WorkerClient:
        if url.partition(":")[0] not in TRITON_SCHEMES:
            return OpenAIHttpClient(
                url,
                connections,
                timeouts,
                max_response_bytes=worker.max_response_bytes,
                api_key=api_key,
                health_check=check,
            )
        from sarlens.workers.clients.triton import TritonClient

        triton = TritonClient(
            url,
            timeouts,
            templates,
            max_response_bytes=worker.max_response_bytes,
            probe_timeout_s=worker.probe_timeout_s,
        )
        stack.push_async_callback(triton.close)
        return triton

    def make_worker(url: str, name: str) -> Worker:
        breaker = CircuitBreaker(worker.breaker_failure_threshold, worker.breaker_reset_timeout_s)
        known_images = KnownImages(worker.max_known_images, image_index)
        return Worker(
            connect(url), metrics, name=name, known_images=known_images, breaker=breaker, thresholds=thresholds
        )

    return WorkerPool(
        make_worker,
        worker.weights,
        replacement_timeout_s=worker.replacement_timeout_s,
        models_at_zero=frozenset(worker.models),
    )


def _load_chat_templates(profiles: Profiles) -> dict[str, Any]:
    paths = {
        model: profile.chat_template
        for profile in profiles.profiles
        if profile.chat_template is not None
        for model in profile.names
    }
    if not paths:
        return {}
    from sarlens.workers.clients.chat_template import load_chat_template

    return {model: load_chat_template(path) for model, path in paths.items()}


async def open_monitor(settings: Settings, pool: WorkerPool, metrics: Metrics, stack: AsyncExitStack) -> WorkerMonitor:
    """Return the monitor that finds the workers and checks their health."""
    discoveries = {redacted_url(location): make_discovery(location) for location in settings.worker.urls}
    for discovery in discoveries.values():
        stack.push_async_callback(discovery.close)
    return WorkerMonitor(pool, discoveries, metrics, interval_s=settings.worker.probe_interval_s)


def make_readiness_queue(settings: Settings, pool: WorkerPool, metrics: Metrics) -> ReadinessQueue:
    """Return the queue of requests that wait for a ready worker."""
    admission = settings.admission
    return ReadinessQueue(
        pool,
        max_queued=admission.max_queued,
        queue_timeout_s=admission.queue_timeout_s,
        metrics=metrics,
        models_at_zero=settings.worker.models,
    )


def make_dispatcher(
    settings: Settings, pool: WorkerPool, image_index: ImageIndex, metrics: Metrics, secret: bytes
) -> Dispatcher:
    """Return the dispatcher; ``secret`` hides the addresses of workers in route receipts."""
    routing = settings.routing
    return Dispatcher(
        WorkerRanking(pool, Router(routing.policy, load_bound=routing.load_bound), image_index),
        RequestCoalescer(routing.coalesce_timeout_s),
        RetryBudget(routing.retry_budget_ratio, routing.max_retry_budget),
        metrics,
        hedge_after_s=routing.hedge_after_s,
        name_worker=partial(worker_name, None if routing.show_workers else secret),
    )
