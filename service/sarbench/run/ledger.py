"""A file of JSON lines that grows by one whole line at a time and survives the death of who writes it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from sarbench.errors import RunError

SYNC_S = 1.0
"""How often, at most, the disk is told to keep what was written; the kernel has each line at once."""


class Ledger:
    """Opened for appending: held against other writers, and rid of a last line that was only half written.

    Raises:
        RunError: another process writes here, or the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced = time.monotonic()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise RunError(f"another sarbench is writing {path}") from error
        self._drop_half_line()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line; when this returns, killing the process does not lose it.

        Raises:
            RunError: the disk takes no more.
        """
        line = memoryview(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        try:
            while line:
                line = line[os.write(self._file, line) :]
            if time.monotonic() - self._synced > SYNC_S:
                os.fdatasync(self._file)
                self._synced = time.monotonic()
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from error

    def _drop_half_line(self) -> None:
        with self._path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                begin = max(0, end - 65536)
                file.seek(begin)
                newline = file.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    end = begin + newline + 1
                    break
                end = begin
        os.ftruncate(self._file, end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.fsync(self._file)
        os.close(self._file)


def read_ledger(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that may be growing: a last line without its newline is not there yet.

    Raises:
        RunError: a line is not JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise RunError(f"{path}:{number}: this line is damaged; remove it and run again") from error
