"""The worker pool: membership, replacement and lookup by model."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sarlens.errors import BadRequest, ModelNotFound, NoWorkerAvailable, WorkerFailed
from sarlens.observability.metrics import Metrics
from sarlens.workers.circuit_breaker import CircuitBreaker
from sarlens.workers.clients.base import WorkerStatus
from sarlens.workers.known_images import KnownImages
from sarlens.workers.pool import WorkerPool
from sarlens.workers.worker import Worker


class Fleet:
    """A pool of workers without servers; ``serves`` holds the models of each healthy worker by URL."""

    def __init__(self, replacement_timeout_s: float = 30.0) -> None:
        self.serves: dict[str, set[str]] = {}
        self.metrics = Metrics()
        self.pool = WorkerPool(self._make_worker, {"c": 0.1}, replacement_timeout_s=replacement_timeout_s)

    def _make_worker(self, url: str) -> Worker:
        async def probe() -> WorkerStatus:
            if url not in self.serves:
                raise WorkerFailed("The worker's health check answers 503.")
            return WorkerStatus({model: {"id": model} for model in self.serves[url]})

        client: Any = SimpleNamespace(url=url, probe=probe, supports_batches=True)
        return Worker(client, self.metrics, known_images=KnownImages(9), breaker=CircuitBreaker(3, 5))

    async def probe(self, times: int = 1) -> None:
        """Check every worker."""
        for _ in range(times):
            for worker in self.pool.workers:
                await worker.probe()

    def urls(self, model: str = "m") -> list[str]:
        """Return the ready workers of a model."""
        return [worker.client.url for worker in self.pool.workers_for(model)]


async def test_a_worker_serves_until_its_replacement_is_ready() -> None:
    """If discovery replaces a by b, a serves alone until the first check of b succeeds, and then b alone."""
    fleet = Fleet()
    fleet.serves = {"a": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0})
    await fleet.probe()
    fleet.pool.set_endpoints({"b": 1.0})
    await fleet.probe(5)
    assert fleet.urls() == ["a"]
    fleet.serves["b"] = {"m"}
    await fleet.probe()
    assert fleet.urls() == ["b"]
    assert [worker.client.url for worker in fleet.pool.workers] == ["b"]
    assert 'worker="a"' not in fleet.metrics.expose("")[0].decode()


async def test_every_model_is_replaced() -> None:
    """A worker of two models that left serves until other workers are ready for both."""
    fleet = Fleet()
    fleet.serves = {"a": {"m", "n"}, "b": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0})
    await fleet.probe()
    fleet.pool.set_endpoints({"b": 1.0, "c": 1.0})
    await fleet.probe()
    assert (fleet.urls("m"), fleet.urls("n")) == (["b", "a"], ["a"])
    fleet.serves["c"] = {"n"}
    await fleet.probe()
    assert (fleet.urls("m"), fleet.urls("n")) == (["b"], ["c"])


async def test_a_worker_with_ready_siblings_leaves_at_once() -> None:
    """A worker that left is retired at once if another worker is ready for its model, or if it isn't ready itself."""
    fleet = Fleet()
    fleet.serves = {"a": {"m"}, "b": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0, "c": 1.0})
    await fleet.probe()
    fleet.pool.set_endpoints({"b": 1.0})
    assert [worker.client.url for worker in fleet.pool.workers] == ["b"]


async def test_the_time_of_a_worker_that_left_is_bounded() -> None:
    """Without a replacement, a worker that left serves for the replacement timeout, unless it comes back."""
    fleet = Fleet(replacement_timeout_s=0.05)
    fleet.serves = {"a": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0})
    await fleet.probe()
    fleet.pool.set_endpoints({})
    assert fleet.urls() == ["a"]
    fleet.pool.set_endpoints({"a": 1.0})
    await asyncio.sleep(0.06)
    fleet.pool.set_endpoints({"a": 1.0})
    assert fleet.urls() == ["a"]
    fleet.pool.set_endpoints({})
    await asyncio.sleep(0.06)
    fleet.pool.set_endpoints({})
    assert fleet.pool.workers == ()


async def test_weights_follow_the_location_and_the_setting() -> None:
    """A weight of the setting precedes that of the location."""
    fleet = Fleet()
    fleet.pool.set_endpoints({"a": 0.5, "c": 1.0})
    fleet.pool.set_endpoints({"a": 0.25, "c": 1.0})
    assert [worker.weight for worker in fleet.pool.workers] == [0.25, 0.1]


async def test_a_model_that_may_return_is_not_unknown() -> None:
    """A model of a lost worker, of a starting worker or of one that was just retired is unavailable, not unknown."""
    fleet = Fleet(replacement_timeout_s=0.0)
    with pytest.raises(NoWorkerAvailable, match="discovery has found none"):
        fleet.pool.resolve_model("m")
    fleet.serves = {"a": {"m"}, "b": {"n"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0})
    with pytest.raises(NoWorkerAvailable, match="2 of 2 haven't passed a health check yet, and 0 are lost"):
        fleet.pool.resolve_model(None)
    await fleet.probe()
    assert fleet.pool.resolve_model("m") == "m"
    with pytest.raises(BadRequest, match="m, n"):
        fleet.pool.resolve_model(None)
    with pytest.raises(ModelNotFound, match="'x'"):
        fleet.pool.resolve_model("x")
    del fleet.serves["b"]
    await fleet.probe(3)
    with pytest.raises(NoWorkerAvailable, match="serves this model"):
        fleet.pool.resolve_model("n")
    fleet.pool.set_endpoints({"a": 1.0, "c": 1.0})
    with pytest.raises(NoWorkerAvailable):
        fleet.pool.resolve_model("x")
