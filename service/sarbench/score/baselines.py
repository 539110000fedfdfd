"""Scores of the baselines of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.progress import Progress

from sarbench.dataset.sarlang import SarlangDataset, open_dataset
from sarbench.errors import DatasetError
from sarbench.run.answers import Answer
from sarbench.score.majority import fit_on_answers, fit_on_train_split
from sarbench.score.retrieval import retrieve_captions
from sarbench.score.scorecard import (
    Accuracies,
    Baselines,
    CaptionScore,
    caption_score,
    captions_by_subset,
    majority_accuracies,
    question_answers,
)


def score_baselines(
    answers: Sequence[Answer],
    test_dataset: SarlangDataset | None,
    train_dataset: SarlangDataset | None,
    progress: Progress,
) -> Baselines:
    """Return the scores of the majority answers and of the captions of the nearest images.

    A score is omitted if its data set is missing.
    """
    origin, accuracies = _score_majority(question_answers(answers), train_dataset)
    retrieval = (
        _score_retrieval(answers, test_dataset, train_dataset, progress) if test_dataset and train_dataset else {}
    )
    return Baselines(origin, accuracies, retrieval)


def open_data(location: str, *, required: bool) -> SarlangDataset | None:
    """Open a data set. A missing data set is an error only if ``required``; the run's own can have moved."""
    try:
        return open_dataset(location)
    except DatasetError:
        if required:
            raise
        return None


def _score_majority(answers: Sequence[Answer], train_dataset: SarlangDataset | None) -> tuple[str, Accuracies]:
    majority = fit_on_train_split(train_dataset) if train_dataset else None
    if majority is None:
        return "by application, among the scored texts themselves", majority_accuracies(
            answers, fit_on_answers(answers)
        )
    return "by the question's wording, from the train split", majority_accuracies(answers, majority)


def _score_retrieval(
    answers: Sequence[Answer], test_dataset: SarlangDataset, train_dataset: SarlangDataset, progress: Progress
) -> dict[str, CaptionScore]:
    captions = captions_by_subset(answers)
    if not captions:
        return {}
    task = progress.add_task("finding the nearest images", total=None)
    predictions = retrieve_captions(
        [answer for group in captions.values() for answer in group],
        test_dataset,
        train_dataset,
        lambda: progress.advance(task),
    )
    retrieved = {
        subset: [answer for answer in group if answer.key in predictions] for subset, group in captions.items()
    }
    return {subset: caption_score(group, predictions) for subset, group in retrieved.items() if group}
