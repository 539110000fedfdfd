"""File service: add, find, read and delete the files of callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Literal

import structlog

from sarlens.batches.storage import FileStorage, in_thread, remove_stale_files
from sarlens.errors import BadRequest, FileNotFound, PayloadTooLarge, SarlensError
from sarlens.jobs.files import FileLimits, StoredFile, new_file_id
from sarlens.jobs.pages import Page
from sarlens.jobs.store import JobStore

log = structlog.get_logger(__name__)

Purpose = Literal["batch", "vision", "user_data"]
"""Purposes of uploaded files."""
_CLEANUP_INTERVAL_S = 600.0


class FileService:
    """Files of all API keys."""

    def __init__(self, store: JobStore, storage: FileStorage, limits: FileLimits, *, retention_s: float) -> None:
        """``retention_s`` is the time in seconds after which a file expires, unless it has a time of its own."""
        self.storage = storage
        self.limits = limits
        self._store = store
        self._retention_s = retention_s
        self._incoming: dict[str, int] = {}
        """Bytes of the uploads in progress, by owner."""

    async def begin_upload(self, owner: str) -> Upload:
        """Return the count of an upload; raises as ``FileLimits.check``."""
        stored = await self._store.files.check(owner, 0, self.limits)
        return Upload(self._incoming, owner, self.limits, stored)

    async def add(
        self, owner: str, filename: str, purpose: str, path: Path, *, ttl_s: float | None = None, file_id: str = ""
    ) -> StoredFile:
        """Store the file at ``path``, which may be moved away.

        With ``file_id``, the file replaces one with this id, and has no limits.

        Raises:
            QuotaExceeded, PayloadTooLarge: as ``FileLimits.check``.
            FilesUnavailable, JobsUnavailable: the storage or the database fails.
        """
        size = (await in_thread(path.stat)).st_size
        expires = time.time() + (self._retention_s if ttl_s is None else ttl_s)
        file = StoredFile(owner, filename, purpose, size, expires, file_id or new_file_id())
        await self.storage.put(file.id, path)
        try:
            await self._store.files.add(file, None if file_id else self.limits)
        except BaseException:
            await asyncio.shield(self.storage.delete(file.id))
            raise
        return file

    async def find(self, file_id: str, owner: str | None) -> StoredFile:
        """Return a file of an owner, or of any owner if ``owner`` is None.

        Raises:
            FileNotFound: the owner has no such file, or it has expired.
        """
        file = await self._store.files.find(file_id, owner)
        if file is None:
            raise FileNotFound(f"File {file_id[:96]!r} doesn't exist.")
        return file

    async def list_files(self, owner: str | None, purpose: str | None, page: Page) -> list[StoredFile]:
        """Return a page of the files of an owner; raises as ``FileTable.list_files``."""
        return await self._store.files.list_files(owner, purpose, page)

    def read(self, file: StoredFile) -> AsyncGenerator[bytes]:
        """Yield the content of a file; raises as ``FileStorage.read``."""
        return self.storage.read(file.id, file.bytes)

    async def delete(self, file: StoredFile) -> None:
        """Delete a file.

        Raises:
            BadRequest: an active batch reads the file.
        """
        if await self._store.batches.uses_file(file.id):
            raise BadRequest("A batch that hasn't ended reads the file. Cancel the batch first.", param="file_id")
        await self._remove(file.id)

    async def _remove(self, file_id: str) -> None:
        # The content first: if the process ends in between, the row remains, and the next attempt deletes both.
        await self.storage.delete(file_id)
        await self._store.files.delete(file_id)

    async def clean_up_forever(self) -> None:
        """Delete expired files, until canceled."""
        while True:
            try:
                await remove_stale_files(self.storage)
                for file_id in await self._store.files.expired():
                    if not await self._store.batches.uses_file(file_id):
                        await self._remove(file_id)
            except (SarlensError, OSError) as error:
                log.warning("expired files not deleted", reason=type(error).__name__)
            await asyncio.sleep(_CLEANUP_INTERVAL_S)


class Upload:
    """Counts the bytes of one upload; the end of its ``with`` block ends the count."""

    def __init__(self, incoming: dict[str, int], owner: str, limits: FileLimits, stored_bytes: int) -> None:
        self._incoming = incoming
        self._owner = owner
        self._limits = limits
        self._stored_bytes = stored_bytes
        self._size = 0

    def grow(self, size: int) -> None:
        """Count bytes that arrived.

        Raises:
            PayloadTooLarge: the file, or the files of the owner with all its uploads, are too large.
        """
        self._size += size
        self._incoming[self._owner] = incoming = self._incoming.get(self._owner, 0) + size
        if self._size > self._limits.max_file_bytes:
            raise PayloadTooLarge(f"A file can have at most {self._limits.max_file_bytes} bytes.", param="file")
        if self._stored_bytes + incoming > self._limits.max_stored_bytes:
            raise self._limits.too_large()

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left = self._incoming.pop(self._owner, 0) - self._size
        if left > 0:
            self._incoming[self._owner] = left
