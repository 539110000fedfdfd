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
from sarlens.workers.image_index import ImageIndex
from sarlens.workers.known_images import KnownImages
from sarlens.workers.pool import WorkerPool
from sarlens.workers.prefill_cost import PIXELS_PER_IMAGE
from sarlens.workers.worker import Worker


class Fleet:
    """A pool of workers without servers; ``serves`` holds the models of each healthy worker by URL."""

    def __init__(self, replacement_timeout_s: float = 30.0) -> None:
        self.serves: dict[str, set[str]] = {}
        self.metrics = Metrics()
        self.pool = WorkerPool(self._make_worker, {"c": 0.1}, replacement_timeout_s=replacement_timeout_s)

    def _make_worker(self, url: str, name: str) -> Worker:
        async def probe() -> WorkerStatus:
            if url not in self.serves:
                raise WorkerFailed("The worker's health check answers 503.")
            return WorkerStatus({model: {"id": model} for model in self.serves[url]})

        client: Any = SimpleNamespace(url=url, probe=probe, supports_batches=True)
        known_images, breaker = KnownImages(9, ImageIndex()), CircuitBreaker(3, 5)
        return Worker(client, self.metrics, name=name, known_images=known_images, breaker=breaker)

    async def probe(self, times: int = 1) -> None:
        """Check every worker."""
        for _ in range(times):
            for worker in self.pool.workers:
                await worker.probe()

    def urls(self, model: str = "m") -> list[str]:
        """Return the ready workers of a model."""
        return [worker.client.url for worker in self.pool.workers_for(model)]


class ManualClock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Replace the clock of the pool and its workers; it starts at 1000 s."""
    clock = ManualClock()
    for module in ("pool", "worker"):
        monkeypatch.setattr(f"sarlens.workers.{module}.monotonic", clock)
    return clock


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


async def test_a_key_sees_only_its_models() -> None:
    """A model that a key can't use doesn't exist for it, whether it is served, lost or unknown."""
    fleet = Fleet()
    fleet.serves = {"a": {"m"}, "b": {"n"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0})
    await fleet.probe()
    assert fleet.pool.resolve_model("n", {"n"}.__contains__) == "n"
    assert fleet.pool.resolve_model(None, {"n"}.__contains__) == "n"
    unknown = r"^The model 'm' isn't served, or your API key doesn't allow it\. Available models: "
    with pytest.raises(ModelNotFound, match=rf"{unknown}n\.$"):
        fleet.pool.resolve_model("m", {"n"}.__contains__)
    with pytest.raises(ModelNotFound, match=rf"{unknown}none\.$"):
        fleet.pool.resolve_model("m", lambda _: False)
    with pytest.raises(ModelNotFound, match=r"^No worker serves a model that your API key allows\.$"):
        fleet.pool.resolve_model(None, lambda _: False)
    del fleet.serves["a"]
    await fleet.probe(3)
    with pytest.raises(ModelNotFound, match=rf"{unknown}n\.$"):
        fleet.pool.resolve_model("m", {"n"}.__contains__)
    with pytest.raises(NoWorkerAvailable, match=r"^No worker that serves this model is ready\. Retry in a moment\.$"):
        fleet.pool.resolve_model("m", {"m"}.__contains__)


async def test_why_no_worker_is_ready() -> None:
    """The sentence counts the workers that start and those that are lost, and knows workers without models."""
    fleet = Fleet()
    assert fleet.pool.describe_unready() == "No worker is ready: worker discovery has found none."
    fleet.serves = {"a": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0, "d": 1.0})
    await fleet.probe()
    assert fleet.pool.ready_workers == 1
    fleet.serves = {}
    await fleet.probe(3)
    assert fleet.pool.describe_unready() == (
        "No worker is ready: 2 of 3 haven't passed a health check yet, and 1 are lost."
    )
    fleet.serves = {"b": set()}
    await fleet.probe()
    assert fleet.pool.describe_unready() == "No ready worker serves a model."


async def test_models_of_retired_workers_are_expected_for_a_while(clock: ManualClock) -> None:
    """For the replacement timeout of 30 s, the models of every worker that left unready are unavailable, not unknown.

    The first worker is still needed, so it stays for 30 s; the others leave at once.
    """
    fleet = Fleet()
    fleet.serves = {"a": {"k"}, "b": {"m"}, "d": {"n"}, "c": {"o"}}
    fleet.pool.set_endpoints(dict.fromkeys("abcd", 1.0))
    await fleet.probe()
    del fleet.serves["b"], fleet.serves["d"]
    await fleet.probe(3)
    fleet.pool.set_endpoints({"c": 1.0, "d": 1.0})
    assert [worker.client.url for worker in fleet.pool.workers] == ["c", "d", "a"]
    clock.now += 1
    fleet.pool.set_endpoints({"c": 1.0})
    assert [worker.client.url for worker in fleet.pool.workers] == ["c", "a"]
    clock.now += 28.9
    for model in "mn":
        with pytest.raises(NoWorkerAvailable):
            fleet.pool.resolve_model(model)
    clock.now = 1030.0
    with pytest.raises(ModelNotFound):
        fleet.pool.resolve_model("m")
    assert fleet.pool.resolve_model("k") == "k"
    fleet.pool.set_endpoints({"c": 1.0})
    assert [worker.client.url for worker in fleet.pool.workers] == ["c"]


async def test_a_worker_may_serve_any_model_in_its_first_minute(clock: ManualClock) -> None:
    """Until 60 s after its discovery, a worker that isn't ready may serve any model; after that, none."""
    fleet = Fleet()
    fleet.serves = {"a": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0})
    await fleet.probe()
    clock.now += 59.9
    with pytest.raises(NoWorkerAvailable):
        fleet.pool.resolve_model("x")
    clock.now = 1060.0
    with pytest.raises(ModelNotFound):
        fleet.pool.resolve_model("x")


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


async def test_the_workers_of_a_model_follow_every_change() -> None:
    """The workers of a model stay one object until a worker's readiness, models, weight or location changes."""
    fleet = Fleet()
    fleet.serves = {"a": {"m"}, "b": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0})
    await fleet.probe()
    before = fleet.pool.workers_for("m")
    await fleet.probe()
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0})
    assert fleet.pool.workers_for("m") is before
    fleet.pool.set_endpoints({"a": 1.0, "b": 0.5})
    assert fleet.pool.workers_for("m") is not before
    assert [worker.weight for worker in fleet.pool.workers_for("m")] == [1.0, 0.5]
    fleet.serves["b"] = {"m", "adapter"}
    assert fleet.urls("adapter") == []
    await fleet.probe()
    assert (fleet.urls("adapter"), fleet.urls("m")) == (["b"], ["a", "b"])
    del fleet.serves["a"]
    await fleet.probe(3)
    assert fleet.urls() == ["b"]


async def test_columns_have_the_numbers_of_the_workers() -> None:
    """Loads, image costs and open breakers of a model's workers are those of each worker, whoever joins or leaves."""
    fleet = Fleet()
    fleet.serves = {"a": {"n"}, "b": {"m"}, "d": {"m"}}
    fleet.pool.set_endpoints({"a": 1.0, "b": 1.0, "d": 1.0})
    await fleet.probe()
    b, d = fleet.pool.workers_for("m")
    b.start_request([], 0)
    d.start_request([], 0, 3)
    assert fleet.pool.workers_for("m").loads().tolist() == [1, 3]
    fleet.pool.set_endpoints({"b": 1.0, "d": 1.0, "c": 1.0})
    fleet.serves["c"] = {"m"}
    await fleet.probe()
    d.load.learn_prefill_cost(1, 0, 0.004, stream=False)
    d.load.learn_prefill_cost(1, PIXELS_PER_IMAGE, 0.2, stream=False)
    b.load.estimate_others(4.5, 0.0)
    workers = fleet.pool.workers_for("m")
    assert [worker.client.url for worker in workers] == ["b", "d", "c"]
    assert workers.loads().tolist() == [5.5, 3, 0]
    assert workers.image_costs().tolist() == [6.5, d.load.prefill_cost.requests_per_image, 6.5]
    assert d.load.prefill_cost.requests_per_image > 6.5
    for _ in range(3):
        d.record_outcome(WorkerFailed("no"))
    assert workers.with_open_breaker() == [1]
    d.record_outcome(None)
    assert workers.with_open_breaker() == []


async def test_a_pod_keeps_its_series_under_a_new_address() -> None:
    """Series have the name of the pod: one that returns at another address has one series, and it stays."""
    fleet = Fleet(replacement_timeout_s=0.0)
    fleet.serves = {"http://10.0.0.1": {"m"}, "http://10.0.0.2": {"m"}}

    def series() -> list[tuple[str, float]]:
        (family,) = fleet.metrics.worker_ready.collect()
        return [(sample.labels["worker"], sample.value) for sample in family.samples]

    fleet.pool.set_endpoints({"http://10.0.0.1": 1.0}, {"http://10.0.0.1": "vllm-0"})
    await fleet.probe()
    assert series() == [("vllm-0", 1.0)]
    fleet.pool.set_endpoints({"http://10.0.0.2": 1.0}, {"http://10.0.0.2": "vllm-0"})
    await fleet.probe()
    fleet.pool.set_endpoints({"http://10.0.0.2": 1.0}, {"http://10.0.0.2": "vllm-0"})
    assert [worker.client.url for worker in fleet.pool.workers] == ["http://10.0.0.2"]
    assert series() == [("vllm-0", 1.0)]
    fleet.pool.set_endpoints({})
    fleet.pool.set_endpoints({})
    assert series() == []
