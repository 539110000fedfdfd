"""The workers known to the gateway, what each serves, and how busy each is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog

from sarlens.errors import BadRequest, ModelNotFound, NoWorker, SarlensError, WorkerFailed, WorkerUnreachable
from sarlens.metrics import Metrics, WorkerMetrics
from sarlens.workers.breaker import Breaker
from sarlens.workers.client import Client
from sarlens.workers.discovery import Finder, NotFindable, Shares
from sarlens.workers.residency import Residency

log = structlog.get_logger(__name__)


PIXELS = 65_536
"""Pixels to be processed that weigh as much as one request: a picture of 256 by 256."""


class Worker:
    """One worker: the models that it serves while it is ready, and the work that it has in flight.

    ``load`` counts requests, and the pictures that are still to be processed for them, ``PIXELS`` pixels as one.
    """

    def __init__(self, client: Client, metrics: Metrics, *, residency: Residency, breaker: Breaker) -> None:
        self.client = client
        self.residency = residency
        self.breaker = breaker
        self.share = 1.0
        self.models: dict[str, dict[str, Any]] = {}
        self.ready = False
        self._looked = False
        self.in_flight = 0
        self.load = 0.0
        self.coming: Counter[str] = Counter()
        self._metrics = WorkerMetrics(metrics, client.url)

    def knows(self, picture: str) -> bool:
        """Whether the worker has a picture or is being sent it, so that one more request for it costs little."""
        return picture in self.residency or picture in self.coming

    def carry(self, pictures: Sequence[str], pixels: int) -> Burden:
        """Count a request as in flight, until its burden is laid down."""
        self.breaker.trying()
        return Burden(self, pictures, pixels / PIXELS)

    def answered(self, pictures: Sequence[str], elided: Iterable[str], sizes: Mapping[str, int], *, hit: bool) -> None:
        """Note an answer about pictures: a ``hit`` where it had them all, ``elided`` those that it was not sent.

        ``sizes`` are the bytes of those that it was sent.
        """
        (self._metrics.hits if hit else self._metrics.misses).inc()
        self._metrics.elided_bytes.inc(self.residency.size(elided))
        self.residency.learn(pictures, sizes)

    def judge(self, failure: SarlensError | None) -> None:
        """Draw conclusions from an answer, or from its absence.

        A worker that cannot be reached is out until a probe finds it again, and one that broke off may have
        restarted with an empty cache.
        """
        if failure is None:
            if not self.breaker.closed:
                self._metrics.breaker_open.set(0)
            self.breaker.succeeded()
            return
        self.breaker.failed()
        self._metrics.failures.inc()
        self._metrics.breaker_open.set(not self.breaker.closed)
        if isinstance(failure, WorkerFailed):
            self.residency.clear()
        if isinstance(failure, WorkerUnreachable):
            self._turn(ready=False, reason=failure.message)

    async def probe(self) -> None:
        """Ask the worker whether it is well and what it serves."""
        try:
            self.models = await self.client.models()
        except WorkerFailed as error:
            self._turn(ready=False, reason=error.message)
        else:
            self._turn(ready=True)

    def leave(self) -> None:
        """Take no more part in anything that is shown."""
        self.ready = False
        self._metrics.forget()

    def count(self, change: int, load: float) -> None:
        """Change the number of requests in flight, and the load that they are."""
        self.in_flight += change
        # Sums of fractions drift; an idle worker carries nothing.
        self.load = self.load + load if self.in_flight else 0.0
        self._metrics.in_flight.set(self.in_flight)

    def _turn(self, *, ready: bool, reason: str | None = None) -> None:
        if ready != self.ready or not self._looked:
            event = "worker lost" if self.ready else "worker not ready yet"
            self.ready, self._looked = ready, True
            self.residency.clear()
            if ready:
                log.info("worker ready", worker=self.client.url, models=sorted(self.models))
            else:
                log.warning(event, worker=self.client.url, reason=reason)
        self._metrics.ready.set(ready)


class Burden:
    """One request that a worker carries."""

    __slots__ = ("_coming", "_extra", "_worker")

    def __init__(self, worker: Worker, pictures: Sequence[str], extra: float) -> None:
        self._worker = worker
        self._extra = extra
        self._coming = pictures
        worker.count(1, 1 + extra)
        if pictures:
            worker.coming.update(pictures)

    def processed(self) -> None:
        """The request's pictures have been processed."""
        if self._coming:
            self._worker.coming -= Counter(self._coming)
            self._coming = ()
        self._worker.load -= self._extra
        self._extra = 0.0

    def lay_down(self) -> None:
        """The request is over."""
        self.processed()
        self._worker.count(-1, -1)


class Pool:
    """All workers that are to be found, and the union of what they serve."""

    def __init__(
        self, finders: Iterable[Finder], make: Callable[[str], Worker], shares: Shares, metrics: Metrics
    ) -> None:
        self.workers: tuple[Worker, ...] = ()
        self._finders = tuple(finders)
        self._failures = {finder: metrics.discovery_failures.labels(finder.kind) for finder in self._finders}
        self._found: dict[Finder, Shares] = {}
        self._make = make
        self._shares = shares

    @property
    def ready(self) -> bool:
        """Whether some worker answers."""
        return self.ready_workers > 0

    @property
    def ready_workers(self) -> int:
        """How many workers answer."""
        return sum(worker.ready for worker in self.workers)

    def models(self) -> dict[str, dict[str, Any]]:
        """The cards of every model that a ready worker serves, by id."""
        return {name: card for worker in reversed(self.workers) if worker.ready for name, card in worker.models.items()}

    def card(self, model: str) -> dict[str, Any] | None:
        """The card of a model, if some ready worker serves it."""
        return next((worker.models[model] for worker in self.workers if worker.ready and model in worker.models), None)

    def resolve(self, model: str | None) -> str:
        """The name of the model meant; where only one is served, a request may leave it out.

        Raises:
            NoWorker: no worker answers at all, or none of those with this model.
            ModelNotFound: some do, none with this model.
            BadRequest: the name is left out and several are served.
        """
        if model is not None and self.card(model) is not None:
            return model
        served = self.models()
        if not self.ready:
            raise NoWorker("No worker is ready. Try again in a moment.", retry_after=2)
        if model is None and len(served) == 1:
            return next(iter(served))
        if model is None:
            raise BadRequest(f"model is missing; served here: {', '.join(sorted(served))}.", param="model")
        if any(model in worker.models for worker in self.workers):
            raise NoWorker("No worker with this model is ready. Try again in a moment.", retry_after=2)
        raise ModelNotFound(
            f"No worker serves the model {model[:100]!r}; served here: {', '.join(sorted(served))}.", param="model"
        )

    def serving(self, model: str) -> list[Worker]:
        """The ready workers that serve a model."""
        return [worker for worker in self.workers if worker.ready and model in worker.models]

    async def watch_forever(self, interval: float) -> None:
        """Look for workers, and at every worker, again and again, ``interval`` seconds apart."""
        while True:
            try:
                await self.find()
                await self.probe()
            except Exception:
                # Whatever one look fails of, the next one may work; without looks a gateway would go blind.
                log.exception("looking for workers failed")
            await asyncio.sleep(interval)

    async def find(self) -> None:
        """Let in workers that have come, and let go of those that have left; what these are answering goes on."""
        await asyncio.gather(*(self._ask(finder) for finder in self._finders))
        found = {url: share for shares in self._found.values() for url, share in shares.items()}
        known = {worker.client.url: worker for worker in self.workers}
        for url in known.keys() - found.keys():
            log.info("worker left", worker=url)
            known[url].leave()
        self.workers = tuple(known.get(url) or self._make(url) for url in found)
        for worker in self.workers:
            worker.share = self._shares.get(worker.client.url, found[worker.client.url])

    async def _ask(self, finder: Finder) -> None:
        try:
            self._found[finder] = await finder.find()
        except NotFindable as error:
            self._failures[finder].inc()
            log.warning("workers not found", reason=str(error))

    async def probe(self) -> None:
        """Look at every worker once, all at the same time."""
        await asyncio.gather(*(worker.probe() for worker in self.workers))
