"""What a run knows of each text that was answered."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from sarbench.dataset.layout import Split, Variety
from sarbench.dataset.rows import Item
from sarbench.errors import RunError
from sarbench.run.ledger import read_ledger
from sarlens.prompts.applications import Application

ANSWERS = "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer beside the text that was asked; ``truth`` and ``answer`` are kept to the letter."""

    key: str
    image: str
    split: Split
    variety: Variety
    application: Application
    question: str
    truth: str
    answer: str
    seconds: float

    @classmethod
    def to(cls, item: Item, answer: str, seconds: float) -> Self:
        """The answer to an item that took ``seconds``, retries included."""
        part = item.part
        about = (item.key, item.image, part.split, part.variety, item.application, item.question, item.answer)
        return cls(*about, answer, round(seconds, 4))

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Self:
        """The answer that a line of the file holds; KeyError, ValueError or TypeError where it is none."""
        kept = {field.name: record[field.name] for field in fields(cls)}
        kept["variety"], kept["application"] = Variety(kept["variety"]), Application(kept["application"])
        return cls(**kept)


def read_answers(out: Path) -> list[Answer]:
    """Every answer of a run, each text once, in the order in which they came.

    Raises:
        RunError: a line is damaged.
    """
    answers: dict[str, Answer] = {}
    for number, record in enumerate(read_ledger(out / ANSWERS), 1):
        try:
            answer = Answer.of_record(record)
        except (LookupError, TypeError, ValueError) as error:
            raise RunError(f"{out / ANSWERS}:{number}: this line is no answer; remove it and run again") from error
        answers.setdefault(answer.key, answer)
    return list(answers.values())
