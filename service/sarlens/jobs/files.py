"""Files of callers: their names, sizes and owners. The file storage has their contents."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from sarlens.errors import PayloadTooLarge, QuotaExceeded
from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import FILES
from sarlens.jobs.pages import Page, select_page

_EXPIRED_AT_ONCE = 1000


def new_file_id() -> str:
    """Return a new random file id of 128 bits."""
    return f"file-{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file. Times are in seconds since 1970."""

    owner: str
    """Name of the API key; empty if the gateway has no keys."""
    filename: str
    purpose: str
    bytes: int
    """Size of the content."""
    expires: float
    id: str
    created: float = field(default_factory=time.time)


class FileLimits(NamedTuple):
    """Limits of the files of each owner."""

    max_file_bytes: int
    max_files: int
    max_stored_bytes: int

    def check(self, db: Connection, owner: str, new_bytes: int) -> int:
        """Check that an owner may add a file of a size, and return the bytes of its files.

        Raises:
            QuotaExceeded: the owner has too many files.
            PayloadTooLarge: the files of the owner are too large.
        """
        totals = select(func.count(), func.coalesce(func.sum(FILES.c.bytes), 0)).where(FILES.c.owner == owner)
        files, size = db.execute(totals).one()
        if files >= self.max_files:
            raise QuotaExceeded(f"Files of the caller: {files}; the limit is {self.max_files}. Delete some.")
        if size + new_bytes > self.max_stored_bytes:
            raise self.too_large()
        return int(size)

    def too_large(self) -> PayloadTooLarge:
        """The error of an owner whose files are too large."""
        return PayloadTooLarge(
            f"The files of the caller would exceed the limit of {self.max_stored_bytes} bytes. Delete some.",
            param="file",
        )


class FileTable:
    """Files in the job database.

    Every method commits before it returns, and raises ``JobsUnavailable`` if the database fails.
    """

    def __init__(self, database: JobDatabase) -> None:
        self._database = database

    async def check(self, owner: str, new_bytes: int, limits: FileLimits) -> int:
        """Check that an owner may add a file of a size; returns and raises as ``FileLimits.check``."""
        if not self._database.exists:
            return 0
        return await self._database.read(lambda db: limits.check(db, owner, new_bytes))

    async def add(self, file: StoredFile, limits: FileLimits | None = None) -> None:
        """Insert a file in place of one with the same id; raises as ``FileLimits.check``, if there are limits."""

        def add(db: Connection) -> None:
            db.execute(delete(FILES).where(FILES.c.id == file.id))
            if limits is not None:
                limits.check(db, file.owner, file.bytes)
            db.execute(insert(FILES).values(asdict(file)))

        await self._database.write(add)

    async def find(self, file_id: str, owner: str | None) -> StoredFile | None:
        """Return a file of an owner that hasn't expired, or None; if ``owner`` is None, a file of any owner."""
        if not self._database.exists:
            return None
        conditions = [FILES.c.id == file_id, FILES.c.expires > database_time()]
        query = select(FILES).where(*conditions, *(() if owner is None else (FILES.c.owner == owner,)))
        row = await self._database.read(lambda db: db.execute(query).mappings().one_or_none())
        return None if row is None else StoredFile(**row)

    async def list_files(self, owner: str | None, purpose: str | None, page: Page) -> list[StoredFile]:
        """Return a page of the files of an owner and a purpose; None matches all.

        Raises:
            BadRequest: the page is after a file that isn't one of them.
        """
        if not self._database.exists:
            return []
        conditions = [
            column == value
            for column, value in ((FILES.c.owner, owner), (FILES.c.purpose, purpose))
            if value is not None
        ]

        def select_files(db: Connection) -> list[StoredFile]:
            is_kept = FILES.c.expires > database_time()
            query = select_page(db, select(FILES), (FILES.c.created, FILES.c.id), page, is_kept, *conditions)
            return [StoredFile(**row) for row in db.execute(query).mappings()]

        return await self._database.read(select_files)

    async def delete(self, file_id: str) -> None:
        """Delete a file."""
        await self._database.write(lambda db: db.execute(delete(FILES).where(FILES.c.id == file_id)))

    async def expired(self) -> list[str]:
        """Return the ids of expired files."""
        query = select(FILES.c.id).where(FILES.c.expires < database_time()).limit(_EXPIRED_AT_ONCE)
        return await self._database.read(lambda db: list(db.execute(query).scalars()))
