"""The input of a batch: a local file of JSON lines, validated once, whose lines are read one at a time."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sarlens.batches.line import BatchLine
from sarlens.errors import SarlensError

_MAX_ERRORS = 100


class InputLimits(NamedTuple):
    """Limits of an input."""

    max_bytes: int
    max_lines: int
    max_line_bytes: int


class InputError(NamedTuple):
    """Why an input isn't valid."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """Number of the line, from 1."""


class InputFile:
    """Places of the lines of a file; empty lines don't count."""

    def __init__(self, path: Path, limits: InputLimits) -> None:
        self._path = path
        self._limits = limits
        self._offsets = array("Q")

    def __len__(self) -> int:
        return len(self._offsets)

    def read(self, index: int) -> bytes:
        """Return a line. Blocks."""
        with self._path.open("rb") as file:
            file.seek(self._offsets[index])
            return file.readline(self._limits.max_line_bytes + 1)

    def scan(self) -> None:
        """Find the lines of a file that is valid. Blocks."""
        for _ in self._lines([]):
            pass

    def validate(self, endpoint: str) -> list[InputError]:
        """Find the lines, and return the first errors of the file; none if it is valid. Blocks."""
        errors: list[InputError] = []
        ids: set[bytes] = set()
        for number, data in self._lines(errors):
            try:
                custom_id = BatchLine.parse(data, endpoint).custom_id
            except SarlensError as error:
                errors.append(InputError("invalid_line", error.message, error.param, number))
            else:
                digest = hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=16).digest()
                if digest in ids:
                    message = "Another line has the same custom_id."
                    errors.append(InputError("duplicate_custom_id", message, "custom_id", number))
                ids.add(digest)
            if len(errors) >= _MAX_ERRORS:
                break
        if not self._offsets and not errors:
            errors.append(InputError("empty_file", "The input has no lines."))
        return errors

    def _lines(self, errors: list[InputError]) -> Iterator[tuple[int, bytes]]:
        """Yield number and bytes of each line, and keep its place; stop at a line or a number of lines over a limit."""
        max_bytes, max_lines = self._limits.max_line_bytes, self._limits.max_lines
        with self._path.open("rb") as file:
            for number, offset, data in _read_lines(file, max_bytes):
                if len(data) > max_bytes:
                    message = f"A line can have at most {max_bytes} bytes."
                    errors.append(InputError("line_too_long", message, None, number))
                    return
                if not data.strip():
                    continue
                if len(self._offsets) >= max_lines:
                    errors.append(InputError("too_many_lines", f"A batch can have at most {max_lines} lines."))
                    return
                self._offsets.append(offset)
                yield number, data


def _read_lines(file: BinaryIO, max_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, offset and bytes of each line, of which a long one is cut off after ``max_bytes``."""
    number, offset = 0, 0
    while data := file.readline(max_bytes + 2):
        number += 1
        content = data.removesuffix(b"\n").removesuffix(b"\r")
        yield number, offset, content
        offset += len(data)
