"""The clock of the database: one clock for all gateways that share it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class database_time(FunctionElement[float]):  # noqa: N801  a SQL function
    """Seconds since 1970, by the clock of the database; SQLite has the clock of its host."""

    inherit_cache = True
    type = Float(53)


@compiles(database_time)
def _postgresql(*_: Any, **__: Any) -> str:
    return "EXTRACT(EPOCH FROM clock_timestamp())::double precision"


@compiles(database_time, "sqlite")
def _sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
