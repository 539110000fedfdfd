"""The text files of a data set in SARLANG-1M's released layout, written row by row."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from sarbench.dataset.layout import Split
from sarbench.simulate.qa import QA
from sarlens.prompts.applications import CAPTION_PROMPT, QUESTION_PROMPT

IMAGES = "SARimages"


class _Table:
    """One text as CSV with SARLANG's columns and, if it is released so, as JSON conversations."""

    def __init__(self, files: ExitStack, csv_path: Path, columns: tuple[str, ...], json_path: Path | None) -> None:
        self._rows = csv.writer(files.enter_context(_opened(csv_path)))
        self._rows.writerow(columns)
        self._json: IO[str] | None = None
        self._separator = "[\n"
        if json_path is not None:
            self._json = files.enter_context(_opened(json_path))
            files.callback(self._end)

    def add(self, image: str, prompt: str, *fields: str) -> None:
        """A row of CSV; in JSON, ``prompt`` is answered by the last field."""
        self._rows.writerow((image, *fields))
        if self._json is not None:
            said = [{"role": "user", "content": f"<image>{prompt}"}, {"role": "assistant", "content": fields[-1]}]
            row: dict[str, Any] = {"messages": said, "images": [f"{IMAGES}/{image}"]}
            self._json.write(self._separator + json.dumps(row))
            self._separator = ",\n"

    def _end(self) -> None:
        if self._json is not None:
            self._json.write("[]\n" if self._separator == "[\n" else "\n]\n")


def _opened(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="")


class Texts(ExitStack):
    """The captions and questions of one split, as files under ``out``/Text; a context manager that closes them."""

    def __init__(self, out: Path, split: Split) -> None:
        super().__init__()
        captions, questions = out / "Text" / "caption" / split, out / "Text" / "VQA" / split
        columns = ("Image Name", "Caption")
        conversations = captions / f"Caption_{split}_SARLANG-1M.json"
        if split == "train":
            mixed = _Table(self, captions / "Caption-training.csv", columns, conversations)
            self._concise = self._complex = mixed
        else:
            self._complex = _Table(self, captions / "Caption_test.csv", columns, conversations)
            self._concise = _Table(self, captions / "Caption_test1.csv", columns, None)
        self._boxed, self._general = (
            _Table(
                self,
                questions / f"SARVQA{half}_{split}.csv",
                ("Image Name", "Question", "Answer"),
                questions / f"SARVQA{half}_{split}.json",
            )
            for half in (1, 2)
        )

    def caption(self, image: str, concise: str, complex_: str) -> None:
        """Both captions of an image."""
        self._concise.add(image, CAPTION_PROMPT, concise)
        self._complex.add(image, CAPTION_PROMPT, complex_)

    def question(self, image: str, qa: QA) -> None:
        """One question, among SARVQA1 if it is made from boxes and SARVQA2 if it is general."""
        table = self._boxed if qa.boxed else self._general
        table.add(image, QUESTION_PROMPT.format(question=qa.question), qa.question, qa.answer)
