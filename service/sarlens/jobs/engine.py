"""Engines of the job database: URLs, durable commits, and the check at startup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, false, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sarlens.errors import StartupError
from sarlens.jobs.db_schema import JOBS, METADATA

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
