"""From a released text file to its rows, one at a time: each is an Item or a Fault that names file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sarbench.dataset.csvrows import csv_texts
from sarbench.dataset.jsonrows import json_texts
from sarbench.dataset.layout import Part, Text
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import classify


@dataclass(frozen=True, slots=True)
class Item:
    """One text of the benchmark: a caption (then ``question`` is empty) or a question with its answer.

    ``image`` is a file name without folders; ``answer`` is as released, spaces and case kept, since the paper's
    scorer sees them; ``number`` counts the part's rows from 1.
    """

    part: Part
    number: int
    line: int
    image: str
    question: str
    answer: str

    @property
    def key(self) -> str:
        """What tells this text from every other of the data set."""
        return f"{self.part.path}#{self.number}"

    @property
    def application(self) -> Application:
        """Image Description for captions, or what the question asks for."""
        return classify(self.question) if self.question else Application.IMAGE_DESCRIPTION


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be used, and why."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def read_rows(part: Part, pieces: Iterator[bytes]) -> Iterator[Item | Fault]:
    """The rows of one file, as its bytes stream in.

    Raises:
        DatasetError: the file as a whole cannot be read: wrong columns, no JSON list, broken JSON.
    """
    texts = (json_texts if part.is_json else csv_texts)(part, pieces)
    for number, (line, text) in enumerate(texts, 1):
        reason = text if isinstance(text, str) else _complaint(part, text)
        if isinstance(text, str) or reason:
            yield Fault(part.path, line, str(reason))
        else:
            question = "" if part.variety.is_caption else text.question
            yield Item(part, number, line, re.split(r"[/\\]", text.image.strip())[-1], question, text.answer)


def _complaint(part: Part, text: Text) -> str | None:
    fields = {column: getattr(text, field) for column, field in part.columns.items()}
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
