"""The rows of a released CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sarbench.dataset.layout import Part, Text
from sarbench.dataset.store import lines
from sarbench.errors import DatasetError

if TYPE_CHECKING:
    from _csv import Reader


def csv_texts(part: Part, pieces: Iterator[bytes]) -> Iterator[tuple[int, Text | str]]:
    """Each row, or what is wrong with it, with the line it begins on, counted from 1; blank lines are passed over.

    Bytes that are no UTF-8 come out as lone surrogates.

    Raises:
        DatasetError: a column is missing.
    """
    reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in lines(pieces)), strict=True)
    header = _next_row(reader)
    if isinstance(header, str):
        raise DatasetError(f"{part.path}:1: not CSV: {header}")
    columns = _columns(part, header or [])
    for line, row in _numbered(reader):
        if isinstance(row, str):
            yield line, f"not CSV: {row}"
        elif len(row) != len(header or []):
            yield line, f"{len(row)} fields where the header has {len(header or [])}"
        else:
            yield line, Text(**{"question": "", **{field: row[place] for field, place in columns.items()}})


def _numbered(reader: Reader) -> Iterator[tuple[int, list[str] | str]]:
    while True:
        line = reader.line_num + 1
        row = _next_row(reader)
        if row is None:
            return
        if row:
            yield line, row


def _next_row(reader: Reader) -> list[str] | str | None:
    """The next row, or what is wrong with it, or None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return str(error)


def _columns(part: Part, header: list[str]) -> Mapping[str, int]:
    """Field → its place in a row; case and stray spaces do not matter, further columns are left alone."""
    names = [" ".join(name.removeprefix("\ufeff").lower().split()) for name in header]
    if missing := [column for column in part.columns if column.lower() not in names]:
        there = ", ".join(name.strip() for name in header) or "none"
        raise DatasetError(f"{part.path}:1: no column {' or '.join(missing)}; its columns are: {there}")
    return {field: names.index(column.lower()) for column, field in part.columns.items()}
