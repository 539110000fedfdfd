"""The tables that jobs are kept in, alike in SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    false,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sarlens.errors import CannotStart

METADATA = MetaData()

JOBS = Table(
    "sarlens_jobs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("process", String(64), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("request", Text, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("created", Float(53), nullable=False, index=True),
    Column("updated", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("version", Text),
    Column("model", Text),
    Column("tiles", Integer),
    Column("code", String(64)),
    Column("message", Text),
    Column("holder", String(64), nullable=False, server_default=""),
    Column("lease", Float(53), nullable=False, server_default="0"),
)
"""``holder`` is the process that works on a job, until ``lease`` unless it says so again."""

TILES = Table(
    "sarlens_tiles",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("tile", Integer, primary_key=True),
    Column("ended", String(16), nullable=False),
)
"""Tiles that need no more work, and how they ended: ``answered``, ``blank`` or ``failed``."""

ANSWERS = Table(
    "sarlens_answers",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False),
    Column("id", String(128), nullable=False, unique=True),
    Column("time", Float(53), nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("feature", Text, nullable=False),
    Index("sarlens_answers_by_job", "job", "number"),
)
"""Features as JSON, numbered as they came, with the time of the answer. ``west`` to ``north`` is their envelope in
degrees where they have a place; across the antimeridian ``east`` is above 180."""


class DatabaseUnusable(CannotStart):
    """The database of jobs cannot be used."""


def parse_database(text: str) -> URL:
    """The address of a database: ``sqlite:///path`` or ``postgresql://user:password@host/name``.

    Raises:
        DatabaseUnusable: it is neither.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise DatabaseUnusable("the database has to be like sqlite:///jobs.db or postgresql://host/name") from None
    match url.get_backend_name():
        case "sqlite" if url.database:
            return url.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
    raise DatabaseUnusable("the database has to be like sqlite:///jobs.db or postgresql://host/name")


def open_engine(url: URL) -> Engine:
    """An engine whose commits are on disk when they return."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _durable(connection, _record) -> None:  # type: ignore[no-untyped-def]
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def check_database(text: str) -> None:
    """Open the database once, make its tables and see that they can be written to.

    Raises:
        DatabaseUnusable: it cannot be opened or written to.
    """
    url = parse_database(text)
    try:
        engine = open_engine(url)
        METADATA.create_all(engine)
        with engine.begin() as connection:
            connection.execute(delete(JOBS).where(false()))
        engine.dispose()
    except ModuleNotFoundError as error:
        raise DatabaseUnusable(f"the database of jobs needs {error.name}: install sarlens[postgres]") from None
    except (SQLAlchemyError, OSError) as error:
        said = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or type(error).__name__)
        words = said.splitlines()[0].replace(url.password or "\0", "***")
        shown = url.set(drivername=url.get_backend_name()).render_as_string()
        raise DatabaseUnusable(f"the database of jobs, {shown}, cannot be used: {words}") from None
