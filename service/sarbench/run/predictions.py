"""Predictions made elsewhere: rows of JSON Lines, of CSV with a header, or of the authors' ``VQA_result.csv``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sarbench.dataset.rows import InvalidRow
from sarbench.errors import RunError
from sarlens.prompts.applications import CAPTION_PROMPT, QUESTION_PROMPT

AUTHORS_COLUMNS = ("image", "prediction", "question", "truth")
"""Columns of the authors' ``VQA_result.csv``, which has no header."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "key": ("key", "id", "sample_id"),
    "image": ("image name", "image_name", "image", "image_path", "images"),
    "question": ("question", "prompt", "messages"),
    "prediction": ("prediction", "predict", "predicted", "response", "output", "generated"),
    "truth": ("truth", "label", "labels", "gt", "ground truth", "ground_truth", "reference", "target", "answer"),
}
"""Names of each field, in the order of their priority. ``predict`` and ``label`` are those of LLaMA-Factory."""
_QUESTION = re.compile(re.escape(QUESTION_PROMPT).replace(r"\{question\}", "(.*?)"), re.DOTALL)
_IMAGE_TOKENS = re.compile(r"<\|[^|<>]*\|>|</?image>|<image_?\w*>")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction. ``question`` is empty for a caption; ``key`` and ``image`` are empty if the row has none."""

    number: int
    key: str
    image: str
    question: str
    truth: str
    prediction: str


def read_predictions(path: Path) -> Iterator[Prediction | InvalidRow]:
    """Yield the predictions of a file in its order.

    Raises:
        RunError: the file cannot be read, or its header has no columns for the prediction and the truth.
    """
    try:
        if path.suffix.lower() in {".jsonl", ".json"}:
            yield from _read_jsonl(path)
        else:
            yield from _read_table(path)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _read_jsonl(path: Path) -> Iterator[Prediction | InvalidRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = orjson.loads(line)
                yield _prediction(number, {str(name).lower(): value for name, value in record.items()})
            except (ValueError, AttributeError, LookupError, TypeError):
                yield InvalidRow(
                    str(path), number, "no JSON object with a prediction and a truth, such as predict, label"
                )


def _read_table(path: Path) -> Iterator[Prediction | InvalidRow]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        first = next(rows, None)
        if first is None:
            return
        columns = [" ".join(name.lower().split()) for name in first]
        has_header = bool({*columns} & {*ALIASES["prediction"]} and {*columns} & {*ALIASES["truth"]})
        if not has_header and len(first) != len(AUTHORS_COLUMNS):
            raise RunError(f"{path} has no columns for prediction and truth; its columns are: {', '.join(first)}")
        if not has_header:
            columns = list(AUTHORS_COLUMNS)
            yield _from_row(path, 1, columns, first)
        for row in rows:
            if row:
                yield _from_row(path, rows.line_num, columns, row)


def _from_row(path: Path, line: int, columns: Sequence[str], row: Sequence[str]) -> Prediction | InvalidRow:
    if len(row) != len(columns):
        return InvalidRow(str(path), line, f"{len(row)} fields instead of {len(columns)}")
    return _prediction(line, dict(zip(columns, row, strict=True)))


def _prediction(number: int, record: Mapping[str, Any]) -> Prediction:
    """Return the prediction in a record.

    Raises:
        LookupError, TypeError: the record has no text as prediction or truth.
    """
    values = {field: _first(record, names) for field, names in ALIASES.items()}
    prediction, truth = values["prediction"], values["truth"]
    if not isinstance(prediction, str | int | float) or not isinstance(truth, str | int | float):
        raise TypeError("no prediction or no truth")
    image = values["image"]
    if isinstance(image, list):
        image = image[0] if image else ""
    if isinstance(image, Mapping):
        image = image.get("path", "")
    key = values["key"]
    return Prediction(
        number,
        str(key) if isinstance(key, str | int) else "",
        str(image or "") if isinstance(image, str) else "",
        _bare_question(values["question"]),
        str(truth),
        str(prediction),
    )


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _bare_question(value: Any) -> str:
    """Return the question in a prompt, without the paper's wording and chat templates; empty for a caption."""
    if isinstance(value, list):
        value = next((turn.get("content") for turn in value if turn.get("role") == "user"), "")
    text = value if isinstance(value, str) else ""
    if match := _QUESTION.search(text):
        return match[1].strip()
    return "" if CAPTION_PROMPT in text else _IMAGE_TOKENS.sub("", text).strip()
