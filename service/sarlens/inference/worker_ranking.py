"""The order in which workers get a request, from what the pool knows of them now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sarlens.inference.worker_request import WorkerRequest
from sarlens.routing.candidates import Candidates, Fleet
from sarlens.routing.router import Router
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.model_workers import ModelWorkers
from sarlens.workers.pool import WorkerPool
from sarlens.workers.prefill_cost import PIXELS_PER_IMAGE
from sarlens.workers.worker import Worker


class WorkerRanking:
    """Ranks the workers of a pool by a router, without a loop in Python over the workers for each request."""

    def __init__(self, pool: WorkerPool, router: Router, image_index: ImageIndex) -> None:
        self._pool = pool
        self._router = router
        self._image_index = image_index
        self._fleets: WeakKeyDictionary[ModelWorkers, Fleet] = WeakKeyDictionary()

    def is_held(self, model: str, image_ids: Sequence[str]) -> bool:
        """Return whether a ready worker that serves a model holds all of these images."""
        holders = set.intersection(*map(self._image_index.holders, image_ids))
        return bool(holders) and bool(self._pool.workers_for(model).indexes_of(holders))

    def rank(self, model: str, request: WorkerRequest) -> Iterator[Worker]:
        """Iterate over the ready workers that serve a model, best first, and record them as ranked."""
        workers = self._pool.workers_for(model)
        image_key = request.image_ids[0] if request.image_ids else None
        if not workers:
            return iter(())
        if request.receipt is not None:
            request.receipt.policies.add(self._router.policy_for(image_key))
        request.ranked = (*request.ranked, *workers) if request.ranked else workers.workers
        if len(workers) == 1:
            return iter(workers)
        order = self._router.rank(self._candidates(workers, request), image_key, model)
        return map(workers.workers.__getitem__, order)

    def _candidates(self, workers: ModelWorkers, request: WorkerRequest) -> Candidates:
        loads, failing = workers.loads(), workers.with_open_breaker()
        fleet = self._fleets.get(workers)
        if fleet is None:
            names, weights = [worker.client.url for worker in workers], [worker.weight for worker in workers]
            fleet = self._fleets[workers] = Fleet(names, weights)
        if not request.image_ids:
            return Candidates(fleet, loads, failing=failing)
        costs, holders = self._costs_and_holders(workers, request)
        return Candidates(fleet, loads, costs, holders, failing)

    def _costs_and_holders(
        self, workers: ModelWorkers, request: WorkerRequest
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Return what the request would cost each worker, and the indexes of the workers that hold all of its images.

        A worker that is receiving an image counts as one that holds it.
        """
        image_costs, pixels_at = workers.image_costs(), dict[int, int]()
        for image_id, pixels in request.pixels_by_image():
            for index in workers.indexes_of(self._image_index.holders_or_receivers(image_id)):
                pixels_at[index] = pixels_at.get(index, request.pixels) - pixels
        costs = request.chats + image_costs * request.pixels / PIXELS_PER_IMAGE
        for index, pixels in pixels_at.items():
            costs[index] = request.chats + image_costs[index] * pixels / PIXELS_PER_IMAGE
        return costs, [index for index, pixels in pixels_at.items() if not pixels]
