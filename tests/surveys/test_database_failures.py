"""Surveys whose job database fails for a while: they wait or are suspended, and never fail."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

import pytest

from sarlens.errors import JobsUnavailable, SarlensError
from sarlens.jobs import database
from sarlens.settings import Settings
from support.gateway import gateway
from support.workers.fake_worker import FakeWorker
from surveys.client import ASYNC, SURVEYS, call, submit, survey_body, survey_status, wait_until_done

AT_ONCE = 4


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WRITE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(database, "_RETRY_AFTER_S", 0.2)


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Lock the job database against writes, as a backup does."""
    file = settings.survey.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Leave the job database no room to grow, as a full disk does. Yields a list with the error of each write."""
    begin, errors, pages = database._limit, list[str](), 1
    with closing(sqlite3.connect(settings.survey.database_url.removeprefix("sqlite:///"), timeout=10)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]

    def limit(connection: Any, timeout_s: float, *, is_write: bool) -> None:
        connection.connection.driver_connection.execute(f"PRAGMA max_page_count = {pages}")
        begin(connection, timeout_s, is_write=is_write)

    def unavailable(error: Exception) -> SarlensError:
        errors.append(str(error))
        return JobsUnavailable("The job database failed.")

    monkeypatch.setattr(database, "_limit", limit)
    monkeypatch.setattr(database, "_unavailable", unavailable)
    yield errors
    pages = 1_000_000


def limited(settings: Settings, retry_timeout_s: float) -> Settings:
    """Settings of a gateway with four concurrent tiles."""
    limits = {"max_concurrent_tiles": AT_ONCE, "retry_timeout_s": retry_timeout_s}
    return settings.model_copy(update={"survey": settings.survey.model_copy(update=limits)})


async def answer_some(base: str, scene: str, worker: FakeWorker) -> str:
    """Submit a survey of 30 tiles, and return its id after its first answers."""
    worker.pause_s = 0.02
    worker.says = lambda _: "1"  # a tile that is sent again has an image id in place of the image
    job_id = await submit(base, survey_body(scene))
    async with asyncio.timeout(30):
        while not (await survey_status(base, job_id))["answered"]:
            await asyncio.sleep(0.01)
    return job_id


async def test_results_wait_for_a_locked_database(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """While the database is locked, at most four more tiles are sent; then the survey continues and repeats none."""
    async with gateway(limited(settings, 60)) as base:
        job_id = await answer_some(base, scene, worker)
        with locked(settings):
            await asyncio.sleep(0.1)
            sent = len(worker.bodies)
            await asyncio.sleep(0.6)
            assert len(worker.bodies) <= sent + AT_ONCE
            assert (await survey_status(base, job_id))["status"] == "running"
        status = await wait_until_done(base, job_id)
    assert (status["status"], status["answered"], status["blank"]) == ("successful", 29, 1)
    assert len(worker.bodies) == 29


async def test_results_wait_for_a_full_disk(
    settings: Settings, scene: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is full, a survey neither fails nor loses a result. With room, it ends and sends no tile again."""
    monkeypatch.setattr(database, "WRITE_TIMEOUT_S", 3.0)
    async with gateway(limited(settings, 60)) as base:
        job_id = await answer_some(base, scene, worker)
        with full(settings, monkeypatch) as errors:
            async with asyncio.timeout(30):
                while not any("disk is full" in error for error in errors):
                    await asyncio.sleep(0.01)
            sent = len(worker.bodies)
            await asyncio.sleep(0.6)
            assert len(worker.bodies) <= sent + AT_ONCE
            assert (await survey_status(base, job_id))["status"] == "running"
        status = await wait_until_done(base, job_id)
    assert (status["status"], status["answered"], status["blank"]) == ("successful", 29, 1)
    assert len(worker.bodies) == 29


async def test_a_survey_is_suspended_and_resumed(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """If the lock outlasts the retries, the survey is suspended. It resumes without the tiles that were committed."""
    async with gateway(limited(settings, 0.1)) as base:
        job_id = await answer_some(base, scene, worker)
        with locked(settings):
            await asyncio.sleep(1.5)
            assert (await survey_status(base, job_id))["status"] == "running"
        status = await wait_until_done(base, job_id)
    assert (status["status"], status["answered"], status["blank"]) == ("successful", 29, 1)
    assert 29 <= len(worker.bodies) <= 29 + AT_ONCE


async def test_a_suspended_survey_resumes_after_a_restart(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """A gateway that ends while the database is locked leaves a survey that the next gateway completes."""
    async with gateway(limited(settings, 0.1)) as base:
        job_id = await answer_some(base, scene, worker)
        with locked(settings):
            await asyncio.sleep(0.5)
    with closing(sqlite3.connect(settings.survey.database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE sarlens_jobs SET lease_expires = 0")  # else the next gateway waits ten seconds
        connection.commit()
    async with gateway(limited(settings, 60)) as base:
        status = await wait_until_done(base, job_id)
    assert (status["status"], status["answered"], status["blank"]) == ("successful", 29, 1)
    assert 29 <= len(worker.bodies) <= 29 + 2 * AT_ONCE


async def test_a_submission_to_a_locked_database_is_a_503(settings: Settings, scene: str) -> None:
    """The submission is a 503 with Retry-After after its limit, and the list of surveys is answered."""
    async with gateway(settings) as base:
        await submit(base, survey_body(scene))
        with locked(settings):
            started_at = monotonic()
            status, document, headers = await call("POST", base + SURVEYS, survey_body(scene), ASYNC)
            assert (status, document["error"]["code"]) == (503, "jobs_unavailable")
            assert float(headers["retry-after"]) == 0.2
            assert monotonic() - started_at < 3
            status, document, _ = await call("GET", base + SURVEYS)
            assert (status, len(document["data"])) == (200, 1)
