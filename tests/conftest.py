"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from sarlens.settings import Settings, WorkerSettings
from stack.fake_worker import FakeWorker, fake_worker
from stack.gateway import gateway
from stack.oracle import Oracle
from stack.oracle import serving as answering
from stack.s3 import S3Server, s3_server
from stack.vllm import vllm_worker

# The same examples in every run, so that a red run means a change of ours; explore looks for new ones.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

SAMPLES = Path(__file__).parents[2] / "shared" / "sar_samples"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, profile or credential of the machine reaches a test."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SARLENS_"))]:
        if name != "AWS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Gateways of tests run side by side.
    monkeypatch.setenv("SARLENS_GRPC__PORT", "none")
    monkeypatch.setenv("SARLENS_SURVEY__DATABASE", f"sqlite:///{tmp_path / 'jobs.db'}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


@pytest.fixture
async def worker() -> AsyncIterator[FakeWorker]:
    """A fake worker."""
    async with fake_worker() as fake:
        yield fake


@pytest.fixture
async def url(worker: FakeWorker) -> AsyncIterator[str]:
    """A gateway before the fake worker."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as base:
        yield base


@pytest.fixture(scope="session")
def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real vLLM worker, started once for all tests that ask it."""
    with vllm_worker(tmp_path_factory.mktemp("vllm")) as base:
        yield base


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server, started once for all tests that read from it."""
    with s3_server() as server:
        yield server


@pytest.fixture
async def oracle() -> AsyncIterator[Oracle]:
    """An endpoint that answers."""
    async with answering(Oracle()) as running:
        yield running
