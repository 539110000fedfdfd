"""Reader for the released CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sarbench.dataset.release_files import RawRow, TextFile
from sarbench.dataset.store import iter_lines
from sarbench.errors import DatasetError

if TYPE_CHECKING:
    from _csv import Reader


def read_csv_rows(file: TextFile, chunks: Iterator[bytes]) -> Iterator[tuple[int, RawRow | str]]:
    """Yield ``(line, row)`` for each row, or ``(line, reason)`` for each invalid row.

    ``line`` is the row's first line, counted from 1. Blank lines are skipped. Bytes that aren't UTF-8 become lone
    surrogates.

    Raises:
        DatasetError: the file is not CSV, or a column is missing.
    """
    reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in iter_lines(chunks)), strict=True)
    header = _next_row(reader)
    if isinstance(header, str):
        raise DatasetError(f"{file.path}:1: not CSV: {header}")
    columns = _column_indexes(file, header or [])
    for line, row in _rows_with_lines(reader):
        if isinstance(row, str):
            yield line, f"not CSV: {row}"
        elif len(row) != len(header or []):
            yield line, f"{len(row)} fields, but the header has {len(header or [])}"
        else:
            yield line, RawRow(**{"question": "", **{field: row[index] for field, index in columns.items()}})


def _rows_with_lines(reader: Reader) -> Iterator[tuple[int, list[str] | str]]:
    while True:
        line = reader.line_num + 1
        row = _next_row(reader)
        if row is None:
            return
        if row:
            yield line, row


def _next_row(reader: Reader) -> list[str] | str | None:
    """Return the next row, the parser's error message, or None at the end of the file."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return str(error)


def _column_indexes(file: TextFile, header: list[str]) -> Mapping[str, int]:
    """Map each field of ``RawRow`` to its column index. Case, stray spaces, and extra columns are ignored."""
    names = [" ".join(name.removeprefix("\ufeff").lower().split()) for name in header]
    if missing := [column for column in file.columns if column.lower() not in names]:
        present = ", ".join(name.strip() for name in header) or "none"
        raise DatasetError(f"{file.path}:1: no column {' or '.join(missing)}; the columns are: {present}")
    return {field: names.index(column.lower()) for column, field in file.columns.items()}
