"""The workers known to the gateway, what each serves, and how busy each is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from sarlens.errors import BadRequest, ModelNotFound, NoWorker, WorkerFailed, WorkerUnreachable
from sarlens.metrics import Metrics
from sarlens.workers.client import Client, Reply

log = structlog.get_logger(__name__)


class Worker:
    """One worker: the models that it serves while it is ready, and the requests that it is answering."""

    def __init__(self, client: Client, metrics: Metrics) -> None:
        self.client = client
        self.models: dict[str, dict[str, Any]] = {}
        self.ready = False
        self.in_flight = 0
        self._ready_gauge = metrics.worker_ready.labels(client.url)
        self._in_flight_gauge = metrics.worker_in_flight.labels(client.url)

    @asynccontextmanager
    async def send(self, path: str, body: bytes, request_id: str) -> AsyncIterator[Reply]:
        """Pass a request on. A worker that cannot be reached is out until a probe finds it again."""
        self._count(1)
        try:
            async with self.client.send(path, body, request_id) as reply:
                yield reply
        except WorkerUnreachable:
            self._turn(ready=False)
            raise
        finally:
            self._count(-1)

    async def probe(self) -> None:
        """Ask the worker whether it is well and what it serves."""
        try:
            self.models = await self.client.models()
        except WorkerFailed as error:
            self._turn(ready=False, reason=error.message)
        else:
            self._turn(ready=True)

    def _count(self, change: int) -> None:
        self.in_flight += change
        self._in_flight_gauge.set(self.in_flight)

    def _turn(self, *, ready: bool, reason: str | None = None) -> None:
        if ready != self.ready:
            self.ready = ready
            event = "worker ready" if ready else "worker lost"
            log.info(event, worker=self.client.url, models=sorted(self.models), reason=reason)
        self._ready_gauge.set(ready)


class Pool:
    """All workers, and the union of what they serve."""

    def __init__(self, workers: Iterable[Worker]) -> None:
        self.workers = tuple(workers)

    @property
    def ready(self) -> bool:
        """Whether some worker answers."""
        return any(worker.ready for worker in self.workers)

    def models(self) -> dict[str, dict[str, Any]]:
        """The cards of every model that a ready worker serves, by id."""
        return {name: card for worker in reversed(self.workers) if worker.ready for name, card in worker.models.items()}

    def resolve(self, model: str | None) -> str:
        """The name of the model meant; where only one is served, a request may leave it out.

        Raises:
            NoWorker: no worker answers at all.
            ModelNotFound: some do, none with this model.
            BadRequest: the name is left out and several are served.
        """
        served = self.models()
        if not self.ready:
            raise NoWorker("No worker is ready. Try again in a moment.", retry_after=2)
        if model is None and len(served) == 1:
            return next(iter(served))
        if model is None:
            raise BadRequest(f"model is missing; served here: {', '.join(sorted(served))}.", param="model")
        if model not in served:
            raise ModelNotFound(
                f"No worker serves the model {model[:100]!r}; served here: {', '.join(sorted(served))}.", param="model"
            )
        return model

    def serving(self, model: str) -> list[Worker]:
        """The ready workers that serve a model."""
        return [worker for worker in self.workers if worker.ready and model in worker.models]

    async def probe_forever(self, interval: float) -> None:
        """Look at every worker again and again, ``interval`` seconds apart."""
        while True:
            await self.probe()
            await asyncio.sleep(interval)

    async def probe(self) -> None:
        """Look at every worker once, all at the same time."""
        await asyncio.gather(*(worker.probe() for worker in self.workers))
