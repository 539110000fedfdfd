"""Tables of the job database, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sarlens.errors import StartupError
from sarlens.jobs.models import ACTIVE_STATUSES

METADATA = MetaData()

JOBS = Table(
    "sarlens_jobs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("process", String(64), nullable=False),
    Column("owner", String(200), nullable=False, index=True),
    Column("request", Text, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("created", Float(53), nullable=False, index=True),
    Column("updated", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("version", Text),
    Column("model", Text),
    Column("tiles", Integer),
    Column("output", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("code", String(64)),
    Column("message", Text),
    Column("lease_owner", String(64), nullable=False, server_default=""),
    Column("lease_expires", Float(53), nullable=False, server_default="0"),
    Column("queued", Float(53), nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
)
_IS_ACTIVE = JOBS.c.status.in_(ACTIVE_STATUSES)
Index("sarlens_jobs_output", JOBS.c.output, unique=True, sqlite_where=_IS_ACTIVE, postgresql_where=_IS_ACTIVE)
"""One row per job. ``lease_owner`` is the process that runs it. Another process can claim the job at
``lease_expires``, by the clock of the database, unless the owner renews the lease. ``queued`` is the time since when
the job waits: its creation, or its last release. ``bytes`` counts the request and the answers."""

TILES = Table(
    "sarlens_tiles",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("tile", Integer, primary_key=True),
    Column("outcome", String(16), nullable=False),
)
"""Finished tiles. ``outcome`` is ``answered``, ``blank`` or ``failed``."""

ANSWERS = Table(
    "sarlens_answers",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False),
    Column("id", String(128), nullable=False, unique=True),
    Column("question", Integer, nullable=False),
    Column("time", Float(53), nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("feature", Text, nullable=False),
    Index("sarlens_answers_by_job", "job", "number"),
    Index("sarlens_answers_by_question", "job", "question", "number"),
)
"""One GeoJSON feature per answer, numbered in the order of the commits, with the index of the question and the time of
the commit. ``west`` to ``north`` are its bounds in degrees, or null if the image isn't georeferenced. Across the
antimeridian, ``east`` exceeds 180."""

LAYERS = Table(
    "sarlens_layers",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("question", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("first", Float(53)),
    Column("last", Float(53)),
)
"""One row per question of a job with answers: its text, the image, and the extent of the answers in space and time."""

CANDIDATES = Table(
    "sarlens_candidates",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("tile", Integer, primary_key=True, autoincrement=False),
    Column("question", Integer, primary_key=True, autoincrement=False),
    Column("candidates", Text, nullable=False),
)
"""Objects that each tile shows, as a JSON array for each question, before those of all tiles are merged."""

OBJECTS = Table(
    "sarlens_objects",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False),
    Column("id", String(128), nullable=False, unique=True),
    Column("question", Integer, nullable=False),
    Column("time", Float(53), nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("feature", Text, nullable=False),
    Index("sarlens_objects_by_question", "job", "question", "number"),
)
"""One GeoJSON feature per object of a survey, with the columns of ``ANSWERS`` and the index of the question."""

_CONNECT_TIMEOUT_S = 3
_URL_FORMS = "the job database must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


class DatabaseError(StartupError):
    """The job database can't be used."""


def parse_database_url(text: str) -> URL:
    """Parse ``sqlite:///path`` or ``postgresql://user:password@host/name``, and select the driver.

    Raises:
        DatabaseError: the URL has another form.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise DatabaseError(_URL_FORMS) from None
    match url.get_backend_name():
        case "sqlite" if url.database:
            return url.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
    raise DatabaseError(_URL_FORMS)


def open_engine(url: URL, connections: int = 1) -> Engine:
    """Create an engine with durable commits, and with up to this number of connections."""
    pool: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": _CONNECT_TIMEOUT_S}
    if url.get_backend_name() != "sqlite":
        arguments = {"connect_timeout": _CONNECT_TIMEOUT_S, "tcp_user_timeout": 1000 * _CONNECT_TIMEOUT_S}
        return create_engine(url, pool_pre_ping=True, connect_args=arguments, **pool)
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    # Without an isolation level, a transaction begins where its statement is.
    engine = create_engine(url, connect_args={"timeout": _CONNECT_TIMEOUT_S, "isolation_level": None}, **pool)

    @event.listens_for(engine, "connect")
    def _make_durable(connection, _record) -> None:  # type: ignore[no-untyped-def]
        # Readers and a writer don't wait for each other in a write-ahead log.
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def check_database(text: str) -> None:
    """Connect to the database, create missing tables, and check that they are writable.

    Raises:
        DatabaseError: one of these steps fails. The message has no password.
    """
    url = parse_database_url(text)
    try:
        engine = open_engine(url)
        METADATA.create_all(engine)
        with engine.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(select(table).where(false()))  # fails if an older version made the table
            connection.execute(delete(JOBS).where(false()))
        engine.dispose()
    except ModuleNotFoundError as error:
        raise DatabaseError(f"the job database requires {error.name}: run `pip install '.[postgres]'`") from None
    except (SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or type(error).__name__)
        first_line = cause.splitlines()[0].replace(url.password or "\0", "***")
        public_url = url.set(drivername=url.get_backend_name()).render_as_string()
        raise DatabaseError(f"the job database {public_url} isn't usable: {first_line}") from None
