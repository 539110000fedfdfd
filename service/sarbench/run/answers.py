"""Answers of a run, one record of ``answers.jsonl`` each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from sarbench.dataset.release_files import Split, Subset
from sarbench.dataset.rows import Sample
from sarbench.errors import RunError
from sarbench.legacy_keys import with_current_keys
from sarbench.run.jsonl_log import read_jsonl
from sarlens.prompts.applications import Application

ANSWERS_FILE = "answers.jsonl"
_CURRENT_NAMES = {"variety": "subset"}
"""Earlier keys of ``answers.jsonl`` and their current names."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer with its sample. ``truth`` and ``answer`` are stored unchanged; ``seconds`` includes retries."""

    key: str
    image: str
    split: Split
    subset: Subset
    application: Application
    question: str
    truth: str
    answer: str
    seconds: float

    @classmethod
    def from_sample(cls, sample: Sample, answer: str, seconds: float) -> Self:
        """Return the answer to ``sample`` that took ``seconds``, retries included."""
        file = sample.file
        about = (sample.key, sample.image, file.split, file.subset, sample.application, sample.question, sample.answer)
        return cls(*about, answer, round(seconds, 4))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Parse one record of ``answers.jsonl``.

        Raises:
            AttributeError, LookupError, TypeError, ValueError: the record is not an answer.
        """
        record = with_current_keys(record, _CURRENT_NAMES)
        values = {field.name: record[field.name] for field in fields(cls)}
        return cls(**values | {"subset": Subset(values["subset"]), "application": Application(values["application"])})


def read_answers(out: Path) -> list[Answer]:
    """Return the answers of a run in file order; for a repeated key, only the first.

    Raises:
        RunError: a record is damaged.
    """
    answers: dict[str, Answer] = {}
    for number, record in enumerate(read_jsonl(out / ANSWERS_FILE), 1):
        try:
            answer = Answer.from_record(record)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{out / ANSWERS_FILE}:{number}: not an answer; remove this line and run the command again"
            ) from error
        answers.setdefault(answer.key, answer)
    return list(answers.values())
