"""Majority baseline: the most frequent answer to each question, without looking at the image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain

from sarbench.dataset.rows import Sample
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.run.answers import Answer
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import BOX, classify, without_prefix

MIN_OCCURRENCES = 5
"""Minimum occurrences of a wording before its own majority is used."""


class MajorityBaseline:
    """Answer frequencies per wording of a question and per application."""

    def __init__(self, pairs: Iterable[tuple[str, str]], *, by_wording: bool) -> None:
        self._by_wording = by_wording
        self._wordings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._applications: defaultdict[Application, Counter[str]] = defaultdict(Counter)
        for question, answer in pairs:
            self._wordings[_normalize_wording(question)][answer] += 1
            self._applications[classify(question)][answer] += 1

    def answer(self, question: str) -> str:
        """Return the most frequent answer, or an empty string for an unseen application."""
        wording = self._wordings.get(_normalize_wording(question), Counter[str]())
        counts = (
            wording
            if self._by_wording and wording.total() >= MIN_OCCURRENCES
            else self._applications[classify(question)]
        )
        return max(counts, key=lambda answer: (counts[answer], answer), default="")


def fit_on_train_split(dataset: SarlangDataset) -> MajorityBaseline | None:
    """Fit the baseline by wording on the train split. Return None if that split has no questions.

    Raises:
        DatasetError: a file cannot be read.
    """
    files = [file for file in dataset.files_of_split("train") if not file.subset.is_caption]
    rows = (row for file in files for row in dataset.rows(file) if isinstance(row, Sample))
    first = next(rows, None)
    if first is None:
        return None
    return MajorityBaseline(((row.question, row.answer) for row in chain((first,), rows)), by_wording=True)


def fit_on_answers(answers: Iterable[Answer]) -> MajorityBaseline:
    """Fit the baseline by application on the scored texts themselves, which a model cannot know."""
    return MajorityBaseline(((answer.question, answer.truth) for answer in answers), by_wording=False)


def _normalize_wording(question: str) -> str:
    """Return a question without its boxes and class prefix, in lower case."""
    return BOX.sub("[]", without_prefix(question).lower())
