"""Storage of the contents of files: a folder, or a prefix of S3."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from sarlens.errors import FileNotFound, FilesUnavailable
from sarlens.imagery.sources.s3_files import S3Files
from sarlens.surveys.exporter import ResultWriter

P = ParamSpec("P")
T = TypeVar("T")

_CHUNK_BYTES = 2**20
_INCOMING_MAX_AGE_S = 86_400.0
JSONL = "application/jsonl"


class FileStorage(Protocol):
    """Contents of files by their names, which are ids of the gateway."""

    incoming: Path
    """Folder of temporary files. ``put`` may move a file away from it."""

    async def put(self, name: str, file: Path) -> None:
        """Store the content of a file, in place of an earlier one.

        Raises:
            FilesUnavailable: the storage fails.
        """

    def read(self, name: str, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield a content in parts of about 1 MiB.

        Raises:
            FileNotFound: there is no such content.
            FilesUnavailable: the storage fails.
        """

    def path_of(self, name: str) -> Path | None:
        """Return the path of a content that is a local file, or None."""

    async def delete(self, name: str) -> None:
        """Delete a content, if it exists.

        Raises:
            FilesUnavailable: the storage fails.
        """


class FolderStorage:
    """Contents in a folder, which all processes and gateways that share the job database must share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.incoming = folder / "incoming"

    async def put(self, name: str, file: Path) -> None:
        """Move a file into the folder, after its bytes are on the disk."""
        await in_thread(self._put, name, file)

    def _put(self, name: str, file: Path) -> None:
        with file.open("rb") as written:
            os.fsync(written.fileno())
        file.replace(self._folder / name)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    async def read(self, name: str, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield the bytes of a file."""
        path = self._folder / name
        with await in_thread(lambda: path.open("rb")) as file:
            while part := await in_thread(file.read, _CHUNK_BYTES):
                yield part

    def path_of(self, name: str) -> Path:
        """Return the path of a content."""
        return self._folder / name

    async def delete(self, name: str) -> None:
        """Remove a file."""
        await in_thread(self.path_of(name).unlink, missing_ok=True)


class S3Storage:
    """Contents below an ``s3://`` URL."""

    def __init__(self, prefix: str, files: S3Files, writer: ResultWriter) -> None:
        self._prefix = prefix.rstrip("/")
        self._files = files
        self._writer = writer
        self.incoming = Path(tempfile.gettempdir(), "sarlens-files")

    async def put(self, name: str, file: Path) -> None:
        """Upload a file."""
        await self._writer.put(self._url(name), file, job_id=name, media_type=JSONL, overwrite=True)
        await in_thread(file.unlink, missing_ok=True)

    def read(self, name: str, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield the bytes of an object."""
        return self._files.read(self._url(name), max_bytes)

    def path_of(self, name: str) -> None:
        """Return None: no content is a local file."""

    async def delete(self, name: str) -> None:
        """Delete an object."""
        await self._files.delete(self._url(name))

    def _url(self, name: str) -> str:
        return f"{self._prefix}/{name}"


@asynccontextmanager
async def temporary_file(storage: FileStorage) -> AsyncIterator[Path]:
    """Yield the path of a new, empty file, which is removed at the end unless ``put`` moved it.

    Raises:
        FilesUnavailable: the folder can't be written.
    """
    path = storage.incoming / secrets.token_hex(16)
    await in_thread(_create, path)
    try:
        yield path
    finally:
        await asyncio.shield(in_thread(path.unlink, missing_ok=True))


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)


async def write_to(path: Path, parts: AsyncIterator[bytes]) -> int:
    """Write parts to a file, and return their size in bytes.

    Raises:
        FilesUnavailable: the disk is full, or can't be written.
    """
    size = 0
    with path.open("wb") as file:
        async for part in parts:
            size += await in_thread(file.write, part)
    return size


async def remove_stale_files(storage: FileStorage) -> None:
    """Remove temporary files that a process left behind when it was killed, a day later."""
    await asyncio.to_thread(_remove_older, storage.incoming, time.time() - _INCOMING_MAX_AGE_S)


def _remove_older(folder: Path, time_s: float) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and path.stat().st_mtime < time_s:
            path.unlink(missing_ok=True)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads or writes files, in a thread.

    Raises:
        FileNotFound: there is no such file.
        FilesUnavailable: another error of the file system.
    """
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except FileNotFoundError:
        raise FileNotFound("The content of the file doesn't exist.") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise FilesUnavailable(f"The file storage failed: {reason}. Try again later.", retry_after=5) from None
