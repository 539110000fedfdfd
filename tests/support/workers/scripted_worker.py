"""Worker clients with scripted outcomes behind the real dispatcher, without servers and pixels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from sarlens.chat.parse import ChatRequest, parse_chat_request
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.inference.batch_request import BatchRequest
from sarlens.inference.dispatcher import Dispatcher
from sarlens.inference.worker_ranking import WorkerRanking
from sarlens.inference.worker_request import WorkerRequest
from sarlens.observability.metrics import Metrics
from sarlens.routing.policy import Policy
from sarlens.routing.router import Router
from sarlens.types.render_params import RenderParams
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.clients.base import WorkerStatus
from sarlens.workers.coalescing import RequestCoalescer
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages
from sarlens.workers.pool import WorkerPool
from sarlens.workers.retry_budget import RetryBudget
from sarlens.workers.worker import Worker

MODEL = "scripted"
PATH = "/v1/chat/completions"


@dataclass
class Reply:
    """A response of a worker, complete or with the first events of a stream."""

    status: int = 200
    first_chunk: bytes = b'{"choices": []}'
    is_stream: bool = False
    content_type: str = "application/json"
    retry_after_s: int | None = None
    closed: int = 0
    """Number of times it was closed."""

    def close(self) -> None:
        """Count the close."""
        self.closed += 1


def rejection(status: int, message: str = "no", retry_after_s: int | None = None) -> Reply:
    """Return an error of a worker."""
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), retry_after_s=retry_after_s)


def stream(*documents: Mapping[str, Any]) -> Reply:
    """Return a stream that begins with these events."""
    events = b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)
    return Reply(first_chunk=events, is_stream=True, content_type="text/event-stream")


@dataclass
class ScriptedWorker:
    """A worker client that gives the outcomes in ``script`` in turn; the last one again and again."""

    url: str
    script: list[Reply | Exception | asyncio.Event]
    """Responses, failures, and events to wait for before the next outcome."""
    supports_image_ids: bool = True
    supports_batches: bool = True
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Body of each request."""
    calls: list[tuple[str, str, bool]] = field(default_factory=list)
    """Path, request id, and whether a stream was requested, of each request."""
    traces: list[Mapping[str, str]] = field(default_factory=list)
    """Trace headers of each request."""

    async def send(self, path: str, body: bytes, request_id: str, trace: Mapping[str, str], *, stream: bool) -> Any:
        """Give the next outcome."""
        self.bodies.append(json.loads(body))
        self.calls.append((path, request_id, stream))
        self.traces.append(trace)
        while True:
            outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, Reply):
                return outcome
            await outcome.wait()

    async def probe(self) -> WorkerStatus:
        """Return the model."""
        return WorkerStatus({MODEL: {"id": MODEL}})


@dataclass
class ScriptedFleet:
    """The dispatcher, with workers of these scripts at the first of ``urls``."""

    scripts: Sequence[list[Reply | Exception | asyncio.Event]]
    hedge_after_s: float | None = None
    max_retry_budget: int = 100
    budget_ratio: float = 0.0
    policy: Policy = "least_load"
    urls: Sequence[str] = ("http://a", "http://b", "http://c", "http://d")

    def __post_init__(self) -> None:
        self.clients: list[ScriptedWorker] = []
        self.metrics = Metrics()
        self.image_index = ImageIndex()
        self.router = Router(self.policy, load_bound=2.0, seed=1)
        self.pool = WorkerPool(self._make_worker, {}, replacement_timeout_s=1)
        self.budget = RetryBudget(self.budget_ratio, self.max_retry_budget, per_second=0.0)
        self.coalescer = RequestCoalescer(5.0)
        self.dispatcher = Dispatcher(
            WorkerRanking(self.pool, self.router, self.image_index),
            self.coalescer,
            self.budget,
            self.metrics,
            hedge_after_s=self.hedge_after_s,
            name_worker=lambda url: f"<{url}>",
        )

    def _make_worker(self, url: str, _: str) -> Worker:
        self.clients.append(ScriptedWorker(url, list(self.scripts[len(self.clients)])))
        client = cast("Any", self.clients[-1])
        return Worker(
            client, self.metrics, known_images=KnownImages(99, self.image_index), breaker=CircuitBreaker(3, 5)
        )

    async def start(self) -> tuple[Worker, ...]:
        """Make the workers ready; a worker gets its place in the order by a load that others put on it."""
        self.pool.set_endpoints(dict.fromkeys(self.urls[: len(self.scripts)], 1.0))
        for index, worker in enumerate(self.pool.workers):
            await worker.probe()
            worker.load.estimate_others(100.0 * index, 0.0)
        return self.pool.workers

    def counts(self, name: str) -> dict[str, float]:
        """Return the values of a counter that aren't 0, by its label."""
        (family,) = getattr(self.metrics, name).collect()
        samples = [sample for sample in family.samples if sample.value and sample.name.endswith(("_total", "_sum"))]
        return {"/".join(sample.labels.values()): sample.value for sample in samples}


def chat(*images: str, **fields: Any) -> ChatRequest:
    """Return a chat about images."""
    content: list[dict[str, Any]] = [{"type": "text", "text": "How many ships?"}]
    content += [{"type": "image_url", "image_url": {"url": f"https://images/{image}"}} for image in images]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}
    return parse_chat_request(PATH, json.dumps(body).encode(), "req-7", max_images=9)


def request(*images: str, **fields: Any) -> WorkerRequest:
    """Return a request with images of 4 x 4 pixels and 5 bytes."""
    return WorkerRequest(chat(*images, **fields), *_resolved(images), image_first=True, image_id_secret=b"secret")


def batch(chats: int, *images: str) -> BatchRequest:
    """Return a batch of chats about images of 4 x 4 pixels and 5 bytes."""
    requests = [chat(*images) for _ in range(chats)]
    return BatchRequest(requests, *_resolved(images), image_first=True, image_id_secret=b"secret")


def _resolved(images: Sequence[str]) -> tuple[list[ResolvedImage], ImageService]:
    async def render(_: ResolvedImage) -> Any:
        return SimpleNamespace(data=b"image", media_type="image/png")

    resolved = [ResolvedImage(image, cast("Any", None), RenderParams(), 4, public=True) for image in images]
    return resolved, cast("ImageService", SimpleNamespace(render=render))
