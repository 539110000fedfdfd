"""Append-only JSON Lines log that survives a crash of its writer."""

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

FSYNC_INTERVAL_S = 1.0
"""Minimum interval between two fsync calls. Each line reaches the kernel immediately."""


class JsonlLog:
    """A log that is locked against other writers. Opening it removes a partial last line.

    Raises:
        RunError: another process writes to the file, or the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced_at = time.monotonic()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise RunError(f"another sarbench process is writing {path}") from error
        self._drop_partial_line()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line. After return, the line survives a kill of the process.

        Raises:
            RunError: the file cannot be written.
        """
        line = memoryview(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        try:
            while line:
                line = line[os.write(self._file, line) :]
            if time.monotonic() - self._synced_at > FSYNC_INTERVAL_S:
                os.fdatasync(self._file)
                self._synced_at = time.monotonic()
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from error

    def _drop_partial_line(self) -> None:
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

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.fsync(self._file)
        os.close(self._file)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file that can still grow. A last line without a newline is skipped.

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
                raise RunError(f"{path}:{number}: damaged line; remove it and run the command again") from error
