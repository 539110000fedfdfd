"""A gateway for surveys: a scene with ships in a real S3 store, and a worker that counts them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sarlens.settings import S3Settings, Settings, SurveySettings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import bright_spots, geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

SCENE = "s3://scenes/survey.tif"
WIDTH, HEIGHT = 1500, 1100
SHIPS = np.array([(100, 100), (130, 140), (700, 300), (1400, 1000), (1000, 900)])
"""Column and row of each ship."""
BLANK = (slice(512, 768), slice(0, 256))
"""Rows and columns of the tile without data."""


@pytest.fixture(scope="module")
def scene(s3: S3Server) -> str:
    """URL of a scene with five ships, and one tile without data."""
    pixels = sea(WIDTH, HEIGHT, SHIPS)
    pixels[BLANK] = 0
    s3.client().put_object(Bucket="scenes", Key="survey.tif", Body=geotiff(pixels))
    return SCENE


@pytest.fixture
def settings(s3: S3Server, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a gateway with the fake worker and the real store."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    worker.says = lambda body: str(bright_spots(body))
    return Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        s3=S3Settings(endpoint=s3.endpoint),
        survey=SurveySettings(**database(), output_prefixes=("s3://scenes/results",), retry_timeout_s=5),
    )


def database() -> dict[str, Any]:
    """Default job database of the tests."""
    return {"database": Settings().survey.database}


@pytest.fixture
async def base(settings: Settings) -> AsyncIterator[str]:
    """Base URL of the gateway."""
    async with gateway(settings) as url:
        yield url


SURVIVAL_URL = "s3://scenes/survival.tif"
"""A scene of 1472 x 1472 pixels with three ships, for gateways in separate processes."""


@pytest.fixture
def environment(s3: S3Server, worker: FakeWorker, tmp_path: Path) -> dict[str, str]:
    """Environment of a gateway process: real store, fake worker, and a job database in a file."""
    pixels = sea(1472, 1472, np.array([(100, 100), (900, 500), (1300, 1300)]))
    s3.client().put_object(Bucket="scenes", Key="survival.tif", Body=geotiff(pixels))
    worker.says = lambda body: str(bright_spots(body))
    return s3.environment | {
        "SARLENS_WORKER__URLS": json.dumps([worker.url]),
        "SARLENS_WORKER__PROBE_INTERVAL_S": "0.2",
        "SARLENS_SURVEY__MAX_CONCURRENT_TILES": "8",
        "SARLENS_SURVEY__DATABASE": f"sqlite:///{tmp_path / 'survival.db'}",
        "SARLENS_GRPC__PORT": "none",
    }
