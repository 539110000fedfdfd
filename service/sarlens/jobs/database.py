"""Transactions of the job database, in threads: writes one at a time, and concurrent reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sarlens.errors import BadRequest, JobsUnavailable
from sarlens.jobs.db_schema import METADATA
from sarlens.jobs.engine import open_engine, parse_database_url

T = TypeVar("T")

WRITE_TIMEOUT_S = 3.0
"""Maximum time of a write in seconds, with the wait for the writes before it and for a lock."""
READ_TIMEOUT_S = 30.0
"""Maximum time of a read in seconds, with the wait for a thread."""
_READ_THREADS = 4
_GRACE_S = 0.5
"""Seconds after the timeout until the caller stops waiting for a database that doesn't keep it."""
_RETRY_AFTER_S = 5
_PASSING_ERRORS = (OperationalError, InterfaceError, InternalError, PoolTimeoutError, OSError)
"""Errors of a database that is locked, full or away. Others are defects of a statement."""


class JobDatabase:
    """One connection for writes, in one thread, and some for reads, so that a reader never delays a commit.

    A transaction commits before its call returns. Each call ends after its timeout at the latest, and then raises
    ``JobsUnavailable``.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_database_url(url)
        self._file = Path(self._url.database or "") if self._url.get_backend_name() == "sqlite" else None
        self._engines: dict[int, Engine] = {}
        """Open engines by their number of connections."""
        self._opening = Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="jobs-write")
        self._readers = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="jobs-read")

    @property
    def exists(self) -> bool:
        """Whether the database can have jobs: false until the SQLite file is created."""
        return bool(self._engines) or self._file is None or self._file.exists()

    @property
    def is_writable(self) -> bool:
        """Whether the process can write or create the SQLite file. True for PostgreSQL."""
        if self._file is None:
            return True
        nearest = next(path for path in (self._file, *self._file.parents) if path.exists())
        return os.access(nearest, os.W_OK) and (nearest == self._file or nearest.is_dir())

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction, after the writes before it."""
        return await self._run(self._writer, 1, work, WRITE_TIMEOUT_S)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads."""
        return await self._run(self._readers, _READ_THREADS, work, READ_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections, after the running transactions."""
        for threads in (self._writer, self._readers):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        for engine in self._engines.values():
            engine.dispose()

    async def _run(
        self, threads: ThreadPoolExecutor, connections: int, work: Callable[[Connection], T], timeout_s: float
    ) -> T:
        deadline = monotonic() + timeout_s
        call = asyncio.get_running_loop().run_in_executor(threads, self._transaction, connections, work, deadline)
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                return await call
        except TimeoutError as error:
            raise _unavailable(error) from None

    def _transaction(self, connections: int, work: Callable[[Connection], T], deadline: float) -> T:
        try:
            with self._engine(connections).connect() as connection:
                remaining_s = deadline - monotonic()
                if remaining_s <= 0:
                    raise TimeoutError
                _limit(connection, remaining_s, is_write=connections == 1)
                result = work(connection)
                connection.commit()
                return result
        except _PASSING_ERRORS as error:
            raise _unavailable(error) from None
        except DataError:
            raise BadRequest("A value of the request has characters that the job database can't hold.") from None

    def _engine(self, connections: int) -> Engine:
        with self._opening:
            if connections not in self._engines:
                engine = open_engine(self._url, connections)
                METADATA.create_all(engine)
                self._engines[connections] = engine
            return self._engines[connections]


def _limit(connection: Connection, timeout_s: float, *, is_write: bool) -> None:
    """Limit the time of the statements, begin the transaction, and lock a SQLite database that is to be written."""
    milliseconds = max(1, int(timeout_s * 1000))
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        return
    # The driver would begin a transaction before the pragma.
    connection.connection.driver_connection.execute(f"PRAGMA busy_timeout = {milliseconds}")  # type: ignore[union-attr]
    if is_write:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _unavailable(error: Exception) -> JobsUnavailable:
    # The message of the database can have a row or a password.
    message = f"The job database failed: {type(error).__name__}. Try again in a moment."
    return JobsUnavailable(message, retry_after=_RETRY_AFTER_S)
