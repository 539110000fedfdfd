"""Stored responses of the Responses API, and the conversations that they continue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from sarlens.errors import PayloadTooLarge
from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import RESPONSES

_ROW_BYTES = 1024
"""Bytes that a response counts for, in addition to its texts."""
_MAX_TURNS = 1000
_DELETED_AT_ONCE = 1000
_EVICTED_AT_ONCE = 64


class StoredResponse(NamedTuple):
    """A response with the input of its request."""

    id: str
    owner: str
    """Name of the API key; empty if the gateway has no keys."""
    previous: str | None
    """Id of the response that it continues."""
    items: str
    """Input items of the request, as a JSON array."""
    response: str
    """The response, as a JSON object."""


class ResponseTable:
    """Responses in the job database.

    Every method commits before it returns, and raises ``JobsUnavailable`` if the database fails.
    """

    def __init__(self, database: JobDatabase) -> None:
        self._database = database

    async def add(
        self, new: StoredResponse, *, ttl_s: float, max_owner_bytes: int, conversation: Collection[str]
    ) -> bool:
        """Insert a response that expires after ``ttl_s`` seconds, with the ``conversation`` that it continues.

        The oldest responses of the owner are deleted if all would have more than ``max_owner_bytes`` bytes. Return
        False if the response alone has more.
        """
        size = _ROW_BYTES + len(new.items) + len(new.response)
        if size > max_owner_bytes:
            return False
        expires = database_time() + ttl_s
        row = {**new._asdict(), "created": database_time(), "expires": expires, "bytes": size}

        def add(db: Connection) -> None:
            _make_room(db, new.owner, max_owner_bytes - size)
            db.execute(insert(RESPONSES).values(row))
            db.execute(update(RESPONSES).where(RESPONSES.c.id.in_(conversation)).values(expires=expires))

        await self._database.write(add)
        return True

    async def find(self, response_id: str, owner: str | None) -> StoredResponse | None:
        """Return a response of an owner that hasn't expired, or None; if ``owner`` is None, one of any owner."""
        if not self._database.exists:
            return None
        return await self._database.read(lambda db: _find(db, response_id, owner))

    async def conversation(self, response_id: str, owner: str | None, max_bytes: int) -> Sequence[StoredResponse]:
        """Return a response of an owner after all those that it continues; empty if one of them doesn't exist.

        Raises:
            PayloadTooLarge: there are too many of them, or they have more than ``max_bytes`` bytes.
        """
        if not self._database.exists:
            return ()
        return await self._database.read(lambda db: _conversation(db, response_id, owner, max_bytes))

    async def delete(self, response_id: str) -> None:
        """Delete a response."""
        await self._database.write(lambda db: db.execute(delete(RESPONSES).where(RESPONSES.c.id == response_id)))

    async def delete_expired(self) -> None:
        """Delete expired responses, in transactions of bounded size."""
        if not self._database.exists:
            return
        some = select(RESPONSES.c.id).where(RESPONSES.c.expires < database_time()).limit(_DELETED_AT_ONCE)
        remove = delete(RESPONSES).where(RESPONSES.c.id.in_(some))
        while await self._database.write(lambda db: db.execute(remove).rowcount):
            pass


def _find(db: Connection, response_id: str, owner: str | None) -> StoredResponse | None:
    conditions = [RESPONSES.c.id == response_id, RESPONSES.c.expires > database_time()]
    if owner is not None:
        conditions.append(RESPONSES.c.owner == owner)
    columns = [RESPONSES.c[name] for name in StoredResponse._fields]
    row = db.execute(select(*columns).where(*conditions)).one_or_none()
    return None if row is None else StoredResponse(*row)


def _conversation(db: Connection, response_id: str, owner: str | None, max_bytes: int) -> Sequence[StoredResponse]:
    turns: list[StoredResponse] = []
    size, next_id = 0, response_id or None
    while next_id is not None:
        turn = _find(db, next_id, owner)
        if turn is None:
            return ()
        turns.append(turn)
        size += len(turn.items) + len(turn.response)
        if size > max_bytes or len(turns) > _MAX_TURNS:
            raise PayloadTooLarge(
                f"The conversation has more than {max_bytes} bytes or {_MAX_TURNS} turns.",
                param="previous_response_id",
            )
        next_id = turn.previous
    return turns[::-1]


def _make_room(db: Connection, owner: str, max_bytes: int) -> None:
    """Delete the oldest responses of an owner until the others have at most ``max_bytes`` bytes."""
    total = select(func.coalesce(func.sum(RESPONSES.c.bytes), 0)).where(RESPONSES.c.owner == owner)
    oldest = select(RESPONSES.c.id).where(RESPONSES.c.owner == owner).order_by(RESPONSES.c.created, RESPONSES.c.id)
    while db.execute(total).scalar_one() > max_bytes:
        db.execute(delete(RESPONSES).where(RESPONSES.c.id.in_(oldest.limit(_EVICTED_AT_ONCE))))
