"""The worker pool: membership, readiness and lookup by model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import Any, NamedTuple

import structlog

from sarlens.errors import BadRequest, ModelNotFound, NoWorkerAvailable
from sarlens.workers.columns import WorkerColumns
from sarlens.workers.discovery.base import NO_NAMES, EndpointWeights
from sarlens.workers.model_workers import ModelWorkers
from sarlens.workers.worker import Worker

log = structlog.get_logger(__name__)

_STARTUP_GRACE_S = 60.0
"""Time after its discovery in which a worker that isn't ready may turn out to serve any model."""


class LocationStatus(NamedTuple):
    """The last attempt to find the workers of a location."""

    workers: int
    """Number of workers found; after a failed attempt, that of the last successful one."""
    error: str | None
    """Why the attempt failed, as a sentence."""
    at: float
    """Time of the attempt in seconds of ``monotonic``."""


class WorkerPool:
    """All discovered workers and the union of their models.

    A worker that left its location makes way for its replacement: it serves on until other workers are ready for all of
    its models, at most ``replacement_timeout_s`` seconds.
    """

    def __init__(
        self,
        make_worker: Callable[[str, str], Worker],
        weights: EndpointWeights,
        *,
        replacement_timeout_s: float,
        models_at_zero: Collection[str] = (),
    ) -> None:
        self.workers: tuple[Worker, ...] = ()
        self.locations: dict[str, LocationStatus] = {}
        """Locations of workers, as the settings name them, without credentials."""
        self.initialized = False
        """Whether each location was tried once, and each worker found there was checked once."""
        self._make_worker = make_worker
        self._weights = weights
        self._replacement_timeout_s = replacement_timeout_s
        self._models_at_zero = models_at_zero
        """Models that a worker may serve later although none is discovered now."""
        self._leaving: dict[Worker, float] = {}
        """Workers that left their location, with the time at which they are retired at the latest."""
        self._former_models: dict[str, float] = {}
        """Models of retired workers, with the time until which a replacement is expected."""
        self._changed = asyncio.Event()
        self._columns = WorkerColumns(0)
        self._by_model: dict[str, ModelWorkers] = {}
        """Ready workers of the models that requests have named since the last change."""

    @property
    def ready(self) -> bool:
        """Whether at least one worker is ready."""
        return self.ready_workers > 0

    @property
    def ready_workers(self) -> int:
        """Number of ready workers."""
        return sum(worker.ready for worker in self.workers)

    def models(self) -> dict[str, dict[str, Any]]:
        """Return the cards of all models that ready workers serve, by model id."""
        return {name: card for worker in reversed(self.workers) if worker.ready for name, card in worker.models.items()}

    def model_card(self, model: str) -> dict[str, Any] | None:
        """Return the card of a model, or None if no ready worker serves it."""
        for worker in self.workers:
            if worker.ready and model in worker.models:
                return worker.models[model]
        return None

    def workers_for(self, model: str) -> ModelWorkers:
        """Return the ready workers that serve a model; the same object until a worker or a model changes."""
        found = self._by_model.get(model)
        if found is None:
            rows = [row for row, worker in enumerate(self.workers) if worker.ready and model in worker.models]
            found = ModelWorkers([self.workers[row] for row in rows], rows, self._columns)
            if rows:  # a name that no worker serves may be anything
                self._by_model[model] = found
        return found

    def resolve_model(self, model: str | None, can_use: Callable[[str], bool] = lambda _: True) -> str:
        """Return the model that a request names; a request may omit it if the caller can use only one model.

        A model that the caller can't use doesn't exist for it, so that no error shows which models there are.

        Raises:
            NoWorkerAvailable: no worker is ready, or none of those that serve this model.
            ModelNotFound: no worker serves this model, or the caller can't use it.
            BadRequest: the name is missing and the caller can use several models.
        """
        if model is not None and can_use(model) and self.model_card(model) is not None:
            return model
        served = sorted(filter(can_use, self.models()))
        if not self.models():
            raise NoWorkerAvailable(f"{self.describe_unready()} Retry in a moment.", retry_after=2)
        if model is None and len(served) == 1:
            return served[0]
        available = f"Available models: {', '.join(served) or 'none'}."
        if model is None and served:
            raise BadRequest(f"model is required. {available}", param="model")
        if model is None:
            raise ModelNotFound("No worker serves a model that your API key allows.", param="model")
        if self._may_serve(model if can_use(model) else None):
            raise NoWorkerAvailable("No worker that serves this model is ready. Retry in a moment.", retry_after=2)
        raise ModelNotFound(
            f"The model {model[:100]!r} isn't served, or your API key doesn't allow it. {available}", param="model"
        )

    def describe_unready(self) -> str:
        """Return a sentence that says why no worker is ready."""
        if not self.workers:
            return "No worker is ready: worker discovery has found none."
        if self.ready:
            return "No ready worker serves a model."
        starting = sum(not worker.models for worker in self.workers)
        return (
            f"No worker is ready: {starting} of {len(self.workers)} haven't passed a health check yet, and "
            f"{len(self.workers) - starting} are lost."
        )

    def _may_serve(self, model: str | None) -> bool:
        """Return whether a worker that isn't ready serves a model, or may turn out to; None is an unknown model."""
        now = monotonic()
        if model in self._models_at_zero or self._former_models.get(model or "", 0.0) > now:
            return True
        return any(
            model in worker.models if worker.models else now < worker.added_at + _STARTUP_GRACE_S
            for worker in self.workers
        )

    def set_endpoints(self, endpoints: EndpointWeights, names: Mapping[str, str] = NO_NAMES) -> None:
        """Add new workers, with their names by base URL, and let those that are gone leave."""
        known = {worker.client.url: worker for worker in self.workers}
        listed = [known.get(url) or self._add(url, names.get(url, url)) for url in endpoints]
        for worker in listed:
            self._set_weight(worker, self._weights.get(worker.client.url, endpoints[worker.client.url]))
            self._leaving.pop(worker, None)
        leaving = [worker for url, worker in known.items() if url not in endpoints]
        for worker in leaving:
            self._leaving.setdefault(worker, monotonic() + self._replacement_timeout_s)
        self._set_workers((*listed, *leaving))
        self._retire_replaced()

    def _set_weight(self, worker: Worker, weight: float) -> None:
        if worker.weight != weight:
            worker.weight = weight
            self._by_model.clear()

    def _set_workers(self, workers: tuple[Worker, ...]) -> None:
        """Replace the workers, and give each a row of the columns."""
        if workers == self.workers:
            return
        self.workers, self._columns = workers, WorkerColumns(len(workers))
        for row, worker in enumerate(workers):
            worker.write_to(self._columns, row)
        self._by_model.clear()

    async def wait_for_change(self) -> None:
        """Wait until a worker becomes ready or is lost."""
        await self._changed.wait()

    def _add(self, url: str, name: str) -> Worker:
        worker = self._make_worker(url, name)
        worker.on_change.append(self._on_change)
        return worker

    def _on_change(self, _: Worker) -> None:
        self._by_model.clear()
        self._retire_replaced()
        self._changed.set()
        self._changed = asyncio.Event()

    def _retire_replaced(self) -> None:
        """Retire the workers that left and aren't needed anymore. Requests in flight at them continue."""
        now = monotonic()
        staying = [worker for worker in self.workers if worker not in self._leaving]
        replaced = {model for worker in staying if worker.ready for model in worker.models}
        for worker, latest in list(self._leaving.items()):
            if worker.ready and now < latest and not worker.models.keys() <= replaced:
                continue
            log.info("worker removed", worker=worker.name)
            del self._leaving[worker]
            self._former_models |= dict.fromkeys(worker.models, now + self._replacement_timeout_s)
            worker.retire()
        self._former_models = {model: until for model, until in self._former_models.items() if until > now}
        self._set_workers((*staying, *self._leaving))
