"""Writer of text files in the layout of the SARLANG-1M release, row by row."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from sarbench.dataset.release_files import Split
from sarbench.simulate.qa import QA
from sarlens.prompts.applications import CAPTION_PROMPT, QUESTION_PROMPT

IMAGE_DIR = "SARimages"


class _TextTable:
    """One text file as CSV with the release's columns, and as JSON conversations if ``json_path`` is given."""

    def __init__(self, files: ExitStack, csv_path: Path, columns: tuple[str, ...], json_path: Path | None) -> None:
        self._rows = csv.writer(files.enter_context(_open_for_writing(csv_path)))
        self._rows.writerow(columns)
        self._json: IO[str] | None = None
        self._separator = "[\n"
        if json_path is not None:
            self._json = files.enter_context(_open_for_writing(json_path))
            files.callback(self._close_list)

    def add(self, image: str, prompt: str, *fields: str) -> None:
        """Add a CSV row. In JSON, the last field is the assistant's answer to ``prompt``."""
        self._rows.writerow((image, *fields))
        if self._json is not None:
            messages = [{"role": "user", "content": f"<image>{prompt}"}, {"role": "assistant", "content": fields[-1]}]
            row: dict[str, Any] = {"messages": messages, "images": [f"{IMAGE_DIR}/{image}"]}
            self._json.write(self._separator + json.dumps(row))
            self._separator = ",\n"

    def _close_list(self) -> None:
        if self._json is not None:
            self._json.write("[]\n" if self._separator == "[\n" else "\n]\n")


def _open_for_writing(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="")


class TextFiles(ExitStack):
    """Caption and question files of one split below ``out``/Text, as a context manager."""

    def __init__(self, out: Path, split: Split) -> None:
        super().__init__()
        captions, questions = out / "Text" / "caption" / split, out / "Text" / "VQA" / split
        columns = ("Image Name", "Caption")
        conversations = captions / f"Caption_{split}_SARLANG-1M.json"
        if split == "train":
            mixed = _TextTable(self, captions / "Caption-training.csv", columns, conversations)
            self._concise = self._complex = mixed
        else:
            self._complex = _TextTable(self, captions / "Caption_test.csv", columns, conversations)
            self._concise = _TextTable(self, captions / "Caption_test1.csv", columns, None)
        self._boxed, self._general = (
            _TextTable(
                self,
                questions / f"SARVQA{half}_{split}.csv",
                ("Image Name", "Question", "Answer"),
                questions / f"SARVQA{half}_{split}.json",
            )
            for half in (1, 2)
        )

    def add_captions(self, image: str, concise: str, complex_: str) -> None:
        """Add both captions of an image."""
        self._concise.add(image, CAPTION_PROMPT, concise)
        self._complex.add(image, CAPTION_PROMPT, complex_)

    def add_question(self, image: str, qa: QA) -> None:
        """Add one question: to SARVQA1 if it derives from boxes, otherwise to SARVQA2."""
        table = self._boxed if qa.boxed else self._general
        table.add(image, QUESTION_PROMPT.format(question=qa.question), qa.question, qa.answer)
