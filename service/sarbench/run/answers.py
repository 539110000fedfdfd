"""Texts and answers of a run: one record of ``texts.jsonl`` and ``answers.jsonl`` each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from sarbench.dataset.release_files import Split, Subset
from sarbench.dataset.rows import Sample
from sarbench.errors import RunError
from sarbench.legacy_keys import with_current_keys
from sarbench.run.completion import Completion
from sarbench.run.jsonl_log import read_jsonl
from sarlens.chat.reasoning import is_cut_off_reasoning, split_reasoning
from sarlens.prompts.applications import Application

TEXTS_FILE = "texts.jsonl"
ANSWERS_FILE = "answers.jsonl"
ERRORS_FILE = "errors.jsonl"
_CURRENT_NAMES = {"variety": "subset"}
"""Earlier keys of ``answers.jsonl`` and their current names."""


class Outcome(StrEnum):
    """Whether a text has an answer, or why it has none."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The model refused, or a content filter stopped it."""
    CUT_OFF = "cut off"
    """The limit of tokens ended the answer, or the reasoning before it."""
    EMPTY = "empty"
    FAILED = "failed"
    """Every request failed."""
    NOT_SENT = "not sent"
    """The run ended before this text."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a run: a sample without its file. ``truth`` is stored unchanged."""

    key: str
    image: str
    split: Split
    subset: Subset
    application: Application
    question: str
    truth: str

    @classmethod
    def from_sample(cls, sample: Sample) -> Self:
        """Return the text of a sample."""
        file = sample.file
        return cls(
            sample.key, sample.image, file.split, file.subset, sample.application, sample.question, sample.answer
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Parse one record; keys that aren't fields are ignored.

        Raises:
            AttributeError, LookupError, TypeError, ValueError: the record is of another kind.
        """
        record = with_current_keys(record, _CURRENT_NAMES)
        values = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        return cls(**values | {"subset": Subset(values["subset"]), "application": Application(values["application"])})


@dataclass(frozen=True, slots=True)
class Answer(Text):
    """A model's answer with its text. ``answer`` is stored unchanged; ``seconds`` includes retries."""

    answer: str
    seconds: float
    finish_reason: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprob: float | None = None
    failure: Outcome | None = None
    """``FAILED`` or ``NOT_SENT`` for a text without a response, which ``answers.jsonl`` doesn't hold."""

    @classmethod
    def of(cls, text: Text, completion: Completion, seconds: float) -> Self:
        """Return the answer to ``text`` that took ``seconds``, retries included."""
        values = asdict(completion)
        return cls(**_text_fields(text), answer=values.pop("text"), seconds=round(seconds, 4), **values)

    @classmethod
    def missing(cls, text: Text, failure: Outcome) -> Self:
        """Return the record of a text without a response."""
        return cls(**_text_fields(text), answer="", seconds=0.0, failure=failure)

    def record(self) -> dict[str, Any]:
        """Return the record of ``answers.jsonl``, without the fields that the endpoint didn't send."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def text(self) -> str:
        """The answer without its reasoning. It is empty if the reasoning is cut off."""
        return split_reasoning(self.answer)[1]

    @property
    def outcome(self) -> Outcome:
        """Whether the model answered."""
        if self.failure is not None:
            return self.failure
        if self.refusal is not None or self.finish_reason == "content_filter":
            return Outcome.REFUSED
        if self.finish_reason == "length" or is_cut_off_reasoning(self.answer):
            return Outcome.CUT_OFF
        return Outcome.ANSWERED if self.text.strip() else Outcome.EMPTY


TextT = TypeVar("TextT", bound=Text)


def write_texts(out: Path, samples: Iterable[Sample]) -> None:
    """Write the texts of a run, unless an earlier command has written them."""
    if not (out / TEXTS_FILE).exists():
        replace_texts(out, map(Text.from_sample, samples))


def replace_texts(out: Path, texts: Iterable[Text]) -> None:
    """Write the texts of a run in place of earlier ones."""
    _replace(out / TEXTS_FILE, map(asdict, texts))


def replace_answers(out: Path, answers: Iterable[Answer]) -> None:
    """Write the answers of a run in place of earlier ones."""
    _replace(out / ANSWERS_FILE, (answer.record() for answer in answers))


def _replace(path: Path, records: Iterable[dict[str, Any]]) -> None:
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_answers(out: Path) -> list[Answer]:
    """Return the answers of a run in file order; for a repeated key, only the first.

    Raises:
        RunError: a record is damaged.
    """
    answers: dict[str, Answer] = {}
    for answer in _read_records(out / ANSWERS_FILE, Answer):
        answers.setdefault(answer.key, answer)
    return list(answers.values())


def read_outcomes(out: Path) -> list[Answer]:
    """Return one record for each text of a run, in the order of the data set. Texts without a response have none.

    Raises:
        RunError: a record is damaged, or the run has no list of its texts.
    """
    if not (out / TEXTS_FILE).exists():
        raise RunError(f"{out} has no {TEXTS_FILE}: run its sarbench run command again, which writes this file")
    answers = {answer.key: answer for answer in read_answers(out)}
    failed = {record.get("key") for record in read_jsonl(out / ERRORS_FILE)}
    return [
        answers.get(text.key) or Answer.missing(text, Outcome.FAILED if text.key in failed else Outcome.NOT_SENT)
        for text in _read_records(out / TEXTS_FILE, Text)
    ]


def count_outcomes(answers: Iterable[Answer]) -> Counter[Outcome]:
    """Count the texts of each outcome."""
    return Counter(answer.outcome for answer in answers)


def _text_fields(text: Text) -> dict[str, Any]:
    return {field.name: getattr(text, field.name) for field in fields(Text)}


def _read_records(path: Path, record_type: type[TextT]) -> Iterator[TextT]:
    for number, record in enumerate(read_jsonl(path), 1):
        try:
            yield record_type.from_record(record)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{path}:{number}: not an answer; remove this line and run the command again") from error
