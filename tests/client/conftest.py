"""A gateway with a real S3 server and a scene of five ships, for the clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from sarlens.client import AsyncClient
from sarlens.settings import S3Settings, Settings, SurveySettings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import bright_spots, geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

SCENE = "s3://scenes/client.tif"
SHIPS = np.array([(100, 100), (130, 140), (700, 300), (900, 600), (1000, 50)])


@pytest.fixture(scope="module")
def scene(s3: S3Server) -> bytes:
    """A GeoTIFF of 1024 by 768 pixels with five ships, in the bucket too."""
    data = geotiff(sea(1024, 768, SHIPS))
    s3.client().put_object(Bucket="scenes", Key="client.tif", Body=data)
    return data


@pytest.fixture
async def base(s3: S3Server, scene: bytes, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The base URL of a gateway that reads from the S3 server; the worker counts ships."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        s3=S3Settings(endpoint=s3.endpoint),
        survey=SurveySettings(database=Settings().survey.database),
    )
    async with gateway(settings) as url:
        yield url


@pytest.fixture
def ship_counter(worker: FakeWorker) -> FakeWorker:
    """The worker, which answers with the number of bright spots."""
    worker.says = lambda body: str(bright_spots(body))
    return worker


@pytest.fixture
async def client(base: str) -> AsyncIterator[AsyncClient]:
    """A client of the gateway."""
    async with AsyncClient(base) as opened:
        yield opened
