"""Inserts that leave existing rows as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table


def insert_missing(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys don't exist."""
    if rows:
        db.execute(_dialect_insert(db)(table).on_conflict_do_nothing(), rows)


def _dialect_insert(db: Connection) -> Callable[[Table], Any]:
    """Return the INSERT of the dialect in use; to import the other one takes 20 ms."""
    if db.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415

        return postgresql_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

    return sqlite_insert
