"""A gateway for OGC clients: a scene in a real S3 store, and a worker that counts ships."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from sarlens.settings import S3Settings, Settings, SurveySettings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import bright_spots, geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

SHIPS = np.array([(100, 100), (700, 300), (800, 600)])
"""Column and row of each ship."""


@pytest.fixture
async def base(s3: S3Server, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Base URL of the gateway."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.client().put_object(Bucket="scenes", Key="ogc.tif", Body=geotiff(sea(1024, 768, SHIPS)))
    worker.says = lambda body: str(bright_spots(body)) if "How many" in str(body) else "Ships on the sea."
    database = Settings().survey.database
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        s3=S3Settings(endpoint=s3.endpoint),
        survey=SurveySettings(database=database, retry_timeout_s=5),
    )
    async with gateway(settings) as url:
        yield url
