"""What is right without looking: for each question the answer that it gets most often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from sarbench.dataset.library import Library
from sarbench.dataset.rows import Item
from sarbench.run.answers import Answer
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import BOX, classify, without_prefix

ENOUGH = 5
"""Times that a wording must have been seen before its own majority counts."""


class Majority:
    """Answers by how often they were seen for a question's wording, or else for its application."""

    def __init__(self, seen: Iterable[tuple[str, str]], *, by_wording: bool) -> None:
        self._by_wording = by_wording
        self._wordings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._applications: defaultdict[Application, Counter[str]] = defaultdict(Counter)
        for question, answer in seen:
            self._wordings[_wording(question)][answer] += 1
            self._applications[classify(question)][answer] += 1

    def answer(self, question: str) -> str:
        """The most frequent answer; empty where nothing of the kind was seen."""
        wording = self._wordings.get(_wording(question), Counter[str]())
        counts = wording if self._by_wording and wording.total() >= ENOUGH else self._applications[classify(question)]
        return max(counts, key=lambda answer: (counts[answer], answer), default="")


def majority_of_train(library: Library) -> Majority | None:
    """The majority by wording in a data set's train split; None where that has no questions.

    Raises:
        DatasetError: a file cannot be read.
    """
    parts = [part for part in library.of_split("train") if not part.variety.is_caption]
    rows = (row for part in parts for row in library.rows(part))
    return (
        Majority(((row.question, row.answer) for row in rows if isinstance(row, Item)), by_wording=True)
        if parts
        else None
    )


def majority_within(answers: Iterable[Answer]) -> Majority:
    """The majority by application among the very texts that are scored, which no model can know."""
    return Majority(((answer.question, answer.truth) for answer in answers), by_wording=False)


def _wording(question: str) -> str:
    """A question without its boxes and the sentence before it."""
    return BOX.sub("[]", without_prefix(question).lower())
