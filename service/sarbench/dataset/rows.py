"""Rows of a released text file, each parsed into a Sample or an InvalidRow that names file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sarbench.dataset.csv_rows import read_csv_rows
from sarbench.dataset.json_rows import read_json_rows
from sarbench.dataset.release_files import RawRow, TextFile
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import classify


@dataclass(frozen=True, slots=True)
class Sample:
    """One text of the benchmark: a question with its answer, or a caption (``question`` is empty).

    ``image`` is the name as the row has it, or the path of a found image below ``SARimages``. ``answer`` keeps its
    spaces and case, because the paper's scorer doesn't normalize them. ``number`` is the index of the row in its file,
    counted from 1.
    """

    file: TextFile
    number: int
    line: int
    image: str
    question: str
    answer: str

    @property
    def key(self) -> str:
        """Unique identifier of this text in the data set."""
        return f"{self.file.path}#{self.number}"

    @property
    def application(self) -> Application:
        """Image Description for captions; otherwise derived from the wording of the question."""
        return classify(self.question) if self.question else Application.IMAGE_DESCRIPTION


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that cannot be used, and the reason."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def read_rows(file: TextFile, chunks: Iterator[bytes]) -> Iterator[Sample | InvalidRow]:
    """Yield the rows of one file while its bytes stream in.

    Raises:
        DatasetError: the file as a whole cannot be read: wrong columns, not a JSON list, or broken JSON.
    """
    raw_rows = (read_json_rows if file.is_json else read_csv_rows)(file, chunks)
    for number, (line, raw_row) in enumerate(raw_rows, 1):
        reason = raw_row if isinstance(raw_row, str) else _find_error(file, raw_row)
        if isinstance(raw_row, str) or reason:
            yield InvalidRow(file.path, line, str(reason))
        else:
            question = "" if file.subset.is_caption else raw_row.question
            yield Sample(file, number, line, raw_row.image.strip(), question, raw_row.answer)


def _find_error(file: TextFile, raw_row: RawRow) -> str | None:
    fields = {column: getattr(raw_row, field) for column, field in file.columns.items()}
    if empty := [column for column, value in fields.items() if not value.strip()]:
        return f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty"
    if garbled := [column for column, value in fields.items() if not _is_unicode(value)]:
        return f"{' and '.join(garbled)}: not UTF-8"
    return None


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
