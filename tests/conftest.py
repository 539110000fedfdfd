"""Fixtures, markers and settings of all tests."""

from __future__ import annotations

import gc
import inspect
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.service.image_service import ImageService
from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway
from support.in_memory_store import InMemoryStore
from support.s3 import S3Server, s3_server
from support.vllm import vllm_worker
from support.vllm_stack import VllmStack, running_vllm_stack
from support.workers.fake_openai_server import FakeOpenAIServer, serving
from support.workers.fake_worker import FakeWorker, fake_worker

if TYPE_CHECKING:  # not in the extra "test"
    from xdist.remote import Producer

    from support.otlp_collector import Collector
    from support.scheduler import ServerGroupScheduling

# Each of the parallel test processes has one core. Idle OpenMP threads would spin on the others' cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# steady draws the same examples in every run, so that only a change of the code fails; explore draws new ones.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Functions and fixtures that start an external program, by the marker that its tests get.
SERVERS = {
    "vllm": {"vllm_url", "vllm_worker", "vllm_stack"},
    "s3": {"s3", "s3_server", "vllm_stack"},
    "prometheus": {"prometheus", "promtool"},
    "browser": {"chromium"},
}
SLOW_MARKERS = {"slow", *SERVERS}
SLOW = frozenset(
    {
        "api/app/test_bounds",
        "api/app/test_hostile_clients",
        "api/app/test_overload",
        "api/batches/test_batch_routes",
        "api/batches/test_batch_tenancy",
        "api/common/test_accept",
        "api/common/test_auth",
        "api/common/test_usage",
        "api/grpc/test_call_guard",
        "api/grpc/test_oip_servicer",
        "api/oip/test_rest",
        "api/openai/test_completions",
        "api/responses/test_response_store",
        "api/sar/test_vqa",
        "api/test_model_visibility",
        "api/test_protocols",
        "api/test_route_receipts",
        "api/test_tenancy",
        "batches/test_batch_restart",
        "chart/test_chart",
        "docs/test_site",
        "imagery/calibration/test_sentinel1",
        "imagery/formats/test_hostile_files",
        "imagery/formats/test_plain_tiff",
        "imagery/formats/test_sicd",
        "imagery/formats/test_tiff",
        "imagery/geo/test_geometry_window",
        "imagery/geo/test_hostile_polygons",
        "imagery/render/test_speckle",
        "imagery/sources/test_s3_credentials",
        "imagery/sources/test_s3_errors",
        "inference/test_dispatcher",
        "inference/test_failover",
        "inference/test_readiness_queue",
        "inference/test_traffic_shares",
        "inference/test_worker_response",
        "jobs/test_database",
        "jobs/test_filters",
        "jobs/test_owner_limits",
        "jobs/test_store",
        "jobs/test_stored_files",
        "observability/test_logging",
        "observability/test_metrics",
        "observability/test_otel",
        "ogc/test_jobs",
        "routing/test_router",
        "sarbench/test_finetune_cli",
        "sarbench/test_nano_checkpoint",
        "sarbench/test_simulate_dataset",
        "sarbench/test_simulate_questions",
        "sarbench/test_train_cli",
        "sarbench/test_train_forward",
        "sarbench/test_train_shards",
        "server/test_management",
        "server/test_server",
        "server/test_slow_clients",
        "server/test_startup_errors",
        "surveys/test_job_executor",
        "test_benchmark",
        "bootstrap/test_gateway",
        "test_capacity",
        "test_harness",
        "test_mutants",
        "test_sar_scenes",
        "test_sar_workload",
        "workers/clients/test_triton",
        "workers/clients/test_worker_contract",
        "workers/test_monitor",
    }
)
"""Files that start processes or take seconds, below this directory; ``make test-fast`` skips their tests."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the import of slow files if their tests are deselected anyway."""
    return True if "not slow" in config.option.markexpr and _is_slow(collection_path) else None


def _is_slow(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).with_suffix("").as_posix() in SLOW


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ServerGroupScheduling:
    """Keep the tests of a file in one process, and the tests that share a vLLM worker too."""
    from support.scheduler import ServerGroupScheduling  # noqa: PLC0415  xdist isn't in the extra "test"

    return ServerGroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep modules and tests out of the garbage collections, each of which would visit five million objects."""
    gc.disable()
    result = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that it or its fixtures start; ``make test-fast`` skips these tests.

    Only the others measure coverage, which takes half as much CPU time again. Files that use a vLLM worker run first,
    because they take the longest, then the slow files: no process waits for the other at the end.
    """
    ranks = defaultdict[Path, int](int)
    for item in items:
        if _is_slow(item.path):
            item.add_marker("slow")
        for marker in servers_of(item) if isinstance(item, pytest.Function) else ():
            item.add_marker(marker)
        if SLOW_MARKERS & {mark.name for mark in item.iter_markers()}:
            item.add_marker("no_cover")
            ranks[item.path] = max(ranks[item.path], 2 if item.get_closest_marker("vllm") else 1)
    items.sort(key=lambda item: -ranks[item.path])


def servers_of(item: pytest.Function) -> list[str]:
    """Return the markers of the servers that a test starts."""
    definitions = item._fixtureinfo.name2fixturedefs
    functions = [definitions[name][-1].func for name in item.fixturenames if name in definitions]
    used, strings = set(item.fixturenames), set[object]()
    for code in [inspect.unwrap(function).__code__ for function in (*functions, item.obj)]:
        used.update(code.co_names)
        strings.update(code.co_consts)
    if item.get_closest_marker("slow"):  # a parameter of a fixture that calls getfixturevalue("vllm_url")
        used.update(name for name in strings if isinstance(name, str))
    return [marker for marker, starters in SERVERS.items() if used & starters]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove settings, profiles and credentials of this machine from the environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SARLENS_"))]:
        if name != "AWS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Gateways of concurrent tests can't share one gRPC port.
    monkeypatch.setenv("SARLENS_GRPC__PORT", "none")
    monkeypatch.setenv("SARLENS_SURVEY__DATABASE", f"sqlite:///{tmp_path / 'jobs.db'}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


@pytest.fixture
async def worker() -> AsyncIterator[FakeWorker]:
    """Start a fake worker."""
    async with fake_worker() as fake:
        yield fake


@pytest.fixture
async def url(worker: FakeWorker) -> AsyncIterator[str]:
    """Start a gateway in front of the fake worker; return its base URL."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as base:
        yield base


@pytest.fixture(scope="session")
def vllm_spans() -> Iterator[Collector]:
    """Collect the traces of the vLLM worker."""
    from support.otlp_collector import collector  # noqa: PLC0415  OpenTelemetry isn't in the extra "test"

    with collector() as running:
        yield running


@pytest.fixture(scope="session")
def vllm_url(tmp_path_factory: pytest.TempPathFactory, vllm_spans: Collector) -> Iterator[str]:
    """Start a vLLM worker once for all tests; return its base URL."""
    options = ("--otlp-traces-endpoint", f"{vllm_spans.url}/v1/traces")
    environment = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_SERVICE_NAME": "vllm"}
    with vllm_worker(tmp_path_factory.mktemp("vllm"), *options, environment=environment) as base:
        yield base


@pytest.fixture(scope="session")
def vllm_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmStack]:
    """Start what ``make serve`` starts, once for all tests."""
    with running_vllm_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Start an S3 server once for all tests."""
    with s3_server() as server:
        yield server


@pytest.fixture
async def oracle() -> AsyncIterator[FakeOpenAIServer]:
    """Start a fake OpenAI-compatible server."""
    async with serving(FakeOpenAIServer()) as running:
        yield running


@pytest.fixture
def store() -> InMemoryStore:
    """An empty store of objects in memory."""
    return InMemoryStore()


@pytest.fixture
def threads() -> Iterator[ImageThreads]:
    """Threads that decode two images at the same time and read eight, two of them in one bucket."""
    threads = ImageThreads(max_decodes=2, max_reads=8, max_reads_per_bucket=2)
    yield threads
    threads.close()


@pytest.fixture
def image_service(store: InMemoryStore, threads: ImageThreads) -> ImageService:
    """An image service that reads the store in memory."""
    return store.image_service(threads)
