"""The ranking of the pool's workers for a request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sarlens.errors import WorkerFailed
from sarlens.inference.worker_ranking import WorkerRanking
from sarlens.inference.worker_request import WorkerRequest
from sarlens.observability.metrics import Metrics
from sarlens.routing.candidates import Candidates
from sarlens.routing.router import Router
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.clients.base import WorkerStatus
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages
from sarlens.workers.pool import WorkerPool
from sarlens.workers.prefill_cost import PrefillCost
from sarlens.workers.worker import Worker
from support.workers.simulated_worker import MODEL, image_question


class RecordingRouter(Router):
    """A router that keeps the candidates of the last request."""

    candidates: Candidates

    def rank(self, candidates: Candidates, image_key: str | None, model: str = "") -> Any:
        """Record the candidates and rank them."""
        self.candidates = candidates
        return super().rank(candidates, image_key, model)


class Setting:
    """A ranking of ready workers without servers."""

    def __init__(self, workers: int) -> None:
        self.index = ImageIndex()
        self.pool = WorkerPool(self._make_worker, {}, replacement_timeout_s=1)
        self.pool.set_endpoints({f"http://gpu-{i}:8000": 1.0 for i in range(workers)})
        self.router = RecordingRouter("affinity", load_bound=1.25, seed=1)
        self.ranking = WorkerRanking(self.pool, self.router, self.index)

    def _make_worker(self, url: str, _: str) -> Worker:
        async def probe() -> WorkerStatus:
            return WorkerStatus({MODEL: {"id": MODEL}})

        client: Any = SimpleNamespace(url=url, probe=probe, supports_batches=True)
        return Worker(client, Metrics(), known_images=KnownImages(9, self.index), breaker=CircuitBreaker(3, 5))

    async def start(self) -> list[Worker]:
        """Check the health of all workers, and return them."""
        for worker in self.pool.workers:
            await worker.probe()
        return list(self.pool.workers)


@pytest.mark.parametrize("count", [3, 40])
async def test_candidates_have_what_a_request_costs(count: int) -> None:
    """A worker that holds the image, or receives it, costs 1; the others cost 7.5 for 65,536 pixels, or as learned."""
    setting, question = Setting(count), image_question("a")
    workers = await setting.start()
    workers[1].known_images.add(question.image_ids, {})
    receiving = workers[2].start_request(question.image_ids, question.pixels)
    order = list(setting.ranking.rank(MODEL, question))
    candidates = setting.router.candidates
    assert candidates.costs is not None
    assert candidates.costs.tolist() == [7.5, 1.0, 1.0] + [7.5] * (count - 3)
    assert (candidates.loads.tolist(), sorted(candidates.holders)) == ([0.0, 0.0, 7.5] + [0.0] * (count - 3), [1, 2])
    assert order[0] is workers[1]
    assert sorted(worker.client.url for worker in order) == sorted(worker.client.url for worker in workers)
    assert [question.estimate_pixels(worker) for worker in workers[:3]] == [65_536, 0, 0]
    receiving.finish()
    workers[0].load.prefill_cost = _Cheap()
    workers[0].load.learn_prefill_cost(1, 0, 1.0, stream=False)
    list(setting.ranking.rank(MODEL, question))
    candidates = setting.router.candidates
    assert candidates.costs is not None
    assert (candidates.costs.tolist()[:3], list(candidates.holders)) == ([3.0, 1.0, 7.5], [1])


class _Cheap(PrefillCost):
    def observe(self, requests: float, pixels: int, seconds: float, *, stream: bool) -> None:
        self.requests_per_image = 2.0


async def test_an_image_is_held_if_a_ready_worker_of_the_model_holds_it() -> None:
    """A worker that isn't ready, or that restarted, holds no image; a receiving one doesn't yet."""
    setting, question = Setting(2), image_question("a")
    workers = await setting.start()
    workers[0].start_request(question.image_ids, question.pixels)
    assert not setting.ranking.is_held(MODEL, question.image_ids)
    workers[1].known_images.add(question.image_ids, {})
    assert setting.ranking.is_held(MODEL, question.image_ids)
    assert not setting.ranking.is_held(MODEL, [*question.image_ids, "another"])
    assert not setting.ranking.is_held("another model", question.image_ids)
    workers[1].known_images.clear()
    assert not setting.ranking.is_held(MODEL, question.image_ids)


async def test_a_request_records_all_workers_as_ranked() -> None:
    """All ready workers count as ranked, though only the first was found; a second dispatch adds those of its time."""
    setting, question = Setting(3), image_question("a")
    workers = await setting.start()
    next(setting.ranking.rank(MODEL, question))
    assert set(question.ranked) == set(workers)
    setting.pool.set_endpoints({"http://new:8000": 1.0})
    await setting.start()
    assert next(setting.ranking.rank(MODEL, question)).client.url == "http://new:8000"
    assert len(set(question.ranked)) == 4


async def test_workers_with_an_open_breaker_come_last() -> None:
    """Of 20 workers, the ten whose breaker is open come after the others."""
    setting = Setting(20)
    workers = await setting.start()
    for worker in workers[::2]:
        for _ in range(3):
            worker.record_outcome(WorkerFailed("no"))
    order = list(setting.ranking.rank(MODEL, _text()))
    assert set(order[:10]) == set(workers[1::2])


def _text() -> WorkerRequest:
    request = image_question("a")
    request.image_ids, request.pixels = (), 0
    return request
