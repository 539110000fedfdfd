"""Jobs and their answers on disk: what has been told to a caller is there after a crash."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from sarlens.errors import JobsUnavailable
from sarlens.survey.job import UNFINISHED, Counts, Job, Status
from sarlens.survey.ledger import Bounds, Ended, Ledger
from sarlens.survey.tables import ANSWERS, JOBS, METADATA, TILES, open_engine, parse_database

T = TypeVar("T")

_KNOWN = [column for column in JOBS.columns if column.name not in {"holder", "lease"}]


class Wanted(NamedTuple):
    """Which jobs are wanted: an owner's, or everybody's; of some processes; created in a time; that ran so long."""

    owner: str | None = None
    processes: Collection[str] = ()
    statuses: Collection[str] = ()
    since: float | None = None
    until: float | None = None
    shortest_s: float | None = None
    longest_s: float | None = None


class Answers(NamedTuple):
    """Which answers are wanted: of a job, or of all that an owner may see; in a box of degrees; from a number on."""

    owner: str | None = None
    job: str | None = None
    box: Bounds | None = None
    since: float | None = None
    until: float | None = None
    after: int = 0
    offset: int = 0
    limit: int = 1000


class Store:
    """The database. One thread speaks to it, and tiles that end meanwhile are committed together.

    Every method raises ``JobsUnavailable`` where the database fails.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_database(url)
        self._file = Path(self._url.database or "") if self._url.get_backend_name() == "sqlite" else None
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._ledger = Ledger(self._run)

    @property
    def begun(self) -> bool:
        """Whether there can be jobs: a file that nobody has made yet holds none."""
        return self._engine is not None or self._file is None or self._file.exists()

    @property
    def promises(self) -> bool:
        """Whether jobs can be kept, as far as can be told without making the file."""
        if self._file is None:
            return True
        near = next(place for place in (self._file, *self._file.parents) if place.exists())
        return os.access(near, os.W_OK) and (near == self._file or near.is_dir())

    async def add(self, job: Job) -> None:
        """Write a new job down."""
        row = {name: value for name, value in asdict(job).items() if name != "counts"}
        await self._run(lambda db: db.execute(insert(JOBS).values(**row)))

    async def find(self, job: str) -> Job | None:
        """What is known of a job."""
        found = await self._run(lambda db: _jobs(db, JOBS.c.id == job, 1))
        return found[0] if found else None

    async def jobs(self, wanted: Wanted, *, limit: int) -> list[Job]:
        """The newest jobs of those that are wanted."""
        return await self._run(lambda db: _jobs(db, _listed(wanted), limit))

    async def claim(self, holder: str, lease_s: float, most: int) -> list[Job]:
        """Take up to ``most`` unfinished jobs that nobody works on, oldest first."""

        def take(db: Connection) -> list[Job]:
            now = time.time()
            free = and_(JOBS.c.status.in_(UNFINISHED), JOBS.c.lease < now)
            ids = db.execute(select(JOBS.c.id).where(free).order_by(JOBS.c.created).limit(most)).scalars().all()
            mine = update(JOBS).values(holder=holder, lease=now + lease_s)
            taken = [each for each in ids if db.execute(mine.where(JOBS.c.id == each, free)).rowcount == 1]
            return _jobs(db, JOBS.c.id.in_(taken), most)

        return await self._run(take)

    async def renew(self, holder: str, lease_s: float) -> set[str]:
        """Say that this process still works; the jobs that are its own, without those that were dismissed."""

        def again(db: Connection) -> set[str]:
            mine = and_(JOBS.c.holder == holder, JOBS.c.status.in_(UNFINISHED))
            db.execute(update(JOBS).where(mine).values(lease=time.time() + lease_s))
            return set(db.execute(select(JOBS.c.id).where(mine)).scalars())

        return await self._run(again)

    async def release(self, job: str, holder: str) -> None:
        """Leave a job to whoever takes it up next."""
        mine = and_(JOBS.c.id == job, JOBS.c.holder == holder)
        await self._run(lambda db: db.execute(update(JOBS).where(mine).values(lease=0.0)))

    async def change(self, job: str, **values: Any) -> bool:
        """Change an unfinished job; whether it was one."""
        values |= {"updated": time.time()}
        open_ = and_(JOBS.c.id == job, JOBS.c.status.in_(UNFINISHED))
        return await self._run(lambda db: db.execute(update(JOBS).where(open_).values(**values)).rowcount == 1)

    async def forget(self, jobs: Collection[str]) -> None:
        """Remove jobs and all that came of them."""

        def remove(db: Connection) -> None:
            for table, column in ((ANSWERS, ANSWERS.c.job), (TILES, TILES.c.job), (JOBS, JOBS.c.id)):
                db.execute(delete(table).where(column.in_(jobs)))

        await self._run(remove)

    async def stale(self, before: float) -> list[str]:
        """Jobs that were over before a time."""
        old = and_(JOBS.c.finished < before, JOBS.c.status.not_in(UNFINISHED))
        return await self._run(lambda db: list(db.execute(select(JOBS.c.id).where(old)).scalars()))

    async def tiles(self, job: str) -> set[int]:
        """The numbers of the tiles that need no more work."""
        return await self._run(lambda db: set(db.execute(select(TILES.c.tile).where(TILES.c.job == job)).scalars()))

    async def end(self, job: str, ended: Ended) -> None:
        """Write down how a tile ended; it is on disk when this returns.

        Raises:
            JobOver: it is not wanted any more.
        """
        await self._ledger.end(job, ended)

    async def answers(self, wanted: Answers) -> list[tuple[int, str]]:
        """Features as JSON, each with its number, in the order in which they came."""
        query = select(ANSWERS.c.number, ANSWERS.c.feature).where(*_matching(wanted)).order_by(ANSWERS.c.number)
        query = query.limit(wanted.limit).offset(wanted.offset)
        return await self._run(lambda db: [(row.number, row.feature) for row in db.execute(query)])

    async def count(self, wanted: Answers) -> int:
        """How many answers there are."""
        query = select(func.count()).select_from(ANSWERS).where(*_matching(wanted))
        return await self._run(lambda db: int(db.execute(query).scalar_one()))

    async def answer(self, name: str) -> tuple[str, str] | None:
        """The job and the JSON of one feature."""
        query = select(ANSWERS.c.job, ANSWERS.c.feature).where(ANSWERS.c.id == name)
        row = await self._run(lambda db: db.execute(query).first())
        return None if row is None else (row.job, row.feature)

    async def close(self) -> None:
        """Finish what is being written."""
        await self._ledger.close()
        if self._engine is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._engine is None:
                engine = open_engine(self._url)
                METADATA.create_all(engine)
                self._engine = engine
            with self._engine.begin() as connection:
                return work(connection)
        except (DBAPIError, OSError) as error:
            # The words of a database can hold what was being written, or a password.
            raise JobsUnavailable(
                f"The database of jobs fails: {type(error).__name__}. Try again in a moment.", retry_after=5
            ) from None


def _jobs(db: Connection, wanted: ColumnElement[bool], limit: int) -> list[Job]:
    query = select(*_KNOWN).where(wanted).order_by(JOBS.c.created.desc(), JOBS.c.id).limit(limit)
    rows = db.execute(query).mappings().all()
    ends = select(TILES.c.job, TILES.c.ended, func.count().label("tiles")).group_by(TILES.c.job, TILES.c.ended)
    counts: dict[str, dict[str, int]] = {}
    for row in db.execute(ends.where(TILES.c.job.in_([row["id"] for row in rows]))):
        counts.setdefault(row.job, {})[row.ended] = row.tiles
    return [
        Job(**{**row, "status": Status(row["status"]), "counts": Counts(**counts.get(row["id"], {}))}) for row in rows
    ]


def _listed(wanted: Wanted) -> ColumnElement[bool]:
    ran = func.coalesce(JOBS.c.finished, time.time()) - JOBS.c.started
    conditions: list[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = [
        (wanted.owner, JOBS.c.owner.__eq__),
        (wanted.processes or None, JOBS.c.process.in_),
        (wanted.statuses or None, JOBS.c.status.in_),
        (wanted.since, JOBS.c.created.__ge__),
        (wanted.until, JOBS.c.created.__le__),
        (wanted.shortest_s, ran.__ge__),
        (wanted.longest_s, ran.__le__),
    ]
    return and_(True, *(condition(value) for value, condition in conditions if value is not None))


def _matching(wanted: Answers) -> list[ColumnElement[bool]]:
    matching: list[ColumnElement[bool]] = []
    if wanted.after:
        matching.append(ANSWERS.c.number > wanted.after)
    if wanted.job is not None:
        matching.append(ANSWERS.c.job == wanted.job)
    if wanted.owner is not None:
        matching.append(ANSWERS.c.job.in_(select(JOBS.c.id).where(JOBS.c.owner == wanted.owner)))
    if wanted.since is not None:
        matching.append(ANSWERS.c.time >= wanted.since)
    if wanted.until is not None:
        matching.append(ANSWERS.c.time <= wanted.until)
    if wanted.box is not None:
        west, south, east, north = wanted.box
        east += 360 if west > east else 0
        turns = [and_(ANSWERS.c.west <= east + turn, ANSWERS.c.east >= west + turn) for turn in (-360, 0, 360)]
        matching += [or_(*turns), ANSWERS.c.south <= north, ANSWERS.c.north >= south]
    return matching
