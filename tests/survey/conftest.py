"""A gateway for surveys: a scene with ships in a real store, a worker that counts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from sarlens.settings import S3Settings, Settings, SurveySettings, WorkerSettings
from stack.fake_worker import FakeWorker
from stack.gateway import gateway
from stack.s3 import S3Server
from stack.scenes import bright_spots, geotiff, sea

SCENE = "s3://scenes/survey.tif"
WIDTH, HEIGHT, TILE = 1500, 1100, 256
SHIPS = np.array([(100, 100), (130, 140), (700, 300), (1400, 1000), (1000, 900)])
BLANK = (slice(512, 768), slice(0, 256))


@pytest.fixture(scope="module")
def scene(s3: S3Server) -> str:
    """A scene with five ships and one tile without data."""
    pixels = sea(WIDTH, HEIGHT, SHIPS)
    pixels[BLANK] = 0
    s3.client().put_object(Bucket="scenes", Key="survey.tif", Body=geotiff(pixels))
    return SCENE


@pytest.fixture
def settings(s3: S3Server, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A gateway before the fake worker and the real store."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    worker.says = lambda body: str(bright_spots(body))
    return Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        s3=S3Settings(endpoint=s3.endpoint),
        survey=SurveySettings(**database(), outputs=("s3://scenes/results",), patience_s=5),
    )


def database() -> dict[str, Any]:
    """The database that tests use by default."""
    return {"database": Settings().survey.database}


@pytest.fixture
async def base(settings: Settings) -> AsyncIterator[str]:
    """The gateway's address."""
    async with gateway(settings) as url:
        yield url
