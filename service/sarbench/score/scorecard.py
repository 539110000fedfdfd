"""Scores of a run, as stored in ``score.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sarbench.dataset.release_files import Subset
from sarbench.errors import ScoreError
from sarbench.run.answers import Answer, Outcome
from sarbench.score.bootstrap import MeanInterval, bootstrap_mean
from sarbench.score.breakdown import Assignments, Breakdown
from sarbench.score.calibration import Calibration
from sarbench.score.caption_metrics import CaptionPair, bleu, cider, rouge_l
from sarbench.score.coverage import OVERALL, Coverage
from sarbench.score.judge import Judge, JudgeCase, Judgment, judge_case
from sarbench.score.lenient_rule import is_leniently_correct
from sarbench.score.majority import MajorityBaseline
from sarbench.score.paper_rule import PaperVerdict, apply_paper_rule
from sarbench.score.ptb_tokenizer import ptb_tokenize
from sarbench.score.strict_rule import is_strictly_correct
from sarlens.prompts.applications import Application

Accuracies = dict[str, MeanInterval]
"""Accuracy overall and per application, keyed by ``overall`` and the application's name."""


@dataclass(frozen=True)
class PaperScore:
    """Accuracy by the paper's rule. ``unjudged`` counts answers without a verdict; they count as wrong."""

    accuracy: Accuracies
    unjudged: dict[str, int]
    judge: dict[str, Any] | None
    """Endpoint, model, prompt, and sampling of the judge; None without one."""
    judge_errors: dict[str, int]
    """Number of cases that each error of the judge left without a verdict."""


@dataclass(frozen=True)
class CaptionMetrics:
    """Metrics in pycocoevalcap's ranges: BLEU and ROUGE-L 0 to 1, CIDEr 0 to 10."""

    bleu: tuple[float, float, float, float]
    rouge_l: MeanInterval
    cider: MeanInterval


@dataclass(frozen=True)
class CaptionScore(CaptionMetrics):
    """Metrics of one caption subset, on the strings as they are, like the paper's script."""

    n: int
    empty: int
    """Number of empty predictions."""
    tokenized: CaptionMetrics
    """Metrics after the tokenizer of the Penn Treebank, as most other papers compute them."""


@dataclass(frozen=True)
class Baselines:
    """Baselines without a model: the majority answer by the strict rule, and the caption of the nearest image."""

    majority_from: str
    majority: Accuracies = field(default_factory=dict)
    retrieval: dict[str, CaptionScore] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorecard:
    """The scores of one run. A question without an answer counts as wrong, and a caption without a text as empty."""

    model: str
    blackout: bool
    all_texts: Coverage
    """Coverage of all questions and captions."""
    coverage: dict[str, Coverage]
    """Coverage of all questions, of each application, and of each subset of captions."""
    strict: Accuracies
    lenient: Accuracies
    paper: PaperScore
    captions: dict[str, CaptionScore]
    baselines: Baselines
    breakdown: Breakdown
    assignments: Assignments
    calibration: Calibration | None


_ADAPTER = TypeAdapter(Scorecard)
SCORE_FILE = "score.json"


def save_scorecard(run: Path, scorecard: Scorecard) -> None:
    """Write the scores into the folder of a run."""
    (run / SCORE_FILE).write_bytes(_ADAPTER.dump_json(scorecard, indent=2) + b"\n")


def load_scorecard(run: Path) -> Scorecard:
    """Read the scores from the folder of a run.

    Raises:
        ScoreError: the run has no scores, or another version of sarbench wrote them.
    """
    try:
        return _ADAPTER.validate_json((run / SCORE_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ScoreError(f"{run} has no scores of this version: run sarbench score {run} first") from error


def question_answers(answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers to questions."""
    return [answer for answer in answers if not answer.subset.is_caption]


def captions_by_subset(answers: Iterable[Answer]) -> Mapping[Subset, list[Answer]]:
    """Group the answers to caption prompts by subset, in sorted order."""
    captions: defaultdict[Subset, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.subset.is_caption:
            captions[answer.subset].append(answer)
    return dict(sorted(captions.items()))


def is_strictly_right(answer: Answer) -> bool:
    """Whether a text has an answer that is correct by the strict rule."""
    return answer.outcome is Outcome.ANSWERED and is_strictly_correct(answer.truth, answer.text)


def strict_accuracies(answers: Sequence[Answer]) -> Accuracies:
    """Return accuracies by the strict rule."""
    return _accuracies(answers, [is_strictly_right(answer) for answer in answers])


def lenient_accuracies(answers: Sequence[Answer]) -> Accuracies:
    """Return accuracies by the lenient rule."""
    return _accuracies(
        answers,
        [answer.outcome is Outcome.ANSWERED and is_leniently_correct(answer.truth, answer.text) for answer in answers],
    )


def majority_accuracies(answers: Sequence[Answer], majority: MajorityBaseline) -> Accuracies:
    """Return accuracies of the majority baseline by the strict rule."""
    return _accuracies(
        answers, [is_strictly_correct(answer.truth, majority.answer(answer.question)) for answer in answers]
    )


def cases_to_judge(answers: Iterable[Answer]) -> set[JudgeCase]:
    """Return the distinct cases that the paper's rule leaves to a judge."""
    return {judge_case(answer) for answer in answers if _paper_verdict(answer) is PaperVerdict.NEEDS_JUDGE}


def _paper_verdict(answer: Answer) -> PaperVerdict:
    """Mark a text by the paper's rule; without an answer it is wrong."""
    return apply_paper_rule(answer.truth, answer.text) if answer.outcome is Outcome.ANSWERED else PaperVerdict.WRONG


def paper_score(answers: Sequence[Answer], judgment: Judgment, judge: Judge | None) -> PaperScore:
    """Return accuracies by the paper's rule, given the verdicts of the judge."""
    marks = [_paper_verdict(answer) for answer in answers]
    judged = [
        judgment.verdicts.get(judge_case(answer)) if mark is PaperVerdict.NEEDS_JUDGE else mark is PaperVerdict.CORRECT
        for answer, mark in zip(answers, marks, strict=True)
    ]
    unjudged: defaultdict[str, int] = defaultdict(int)
    for answer, right in zip(answers, judged, strict=True):
        for group in (OVERALL, answer.application):
            unjudged[group] += right is None
    accuracies = _accuracies(answers, [bool(right) for right in judged])
    description = judge.description() if judge else None
    return PaperScore(accuracies, dict(unjudged), description, dict(judgment.errors))


def caption_score(answers: Sequence[Answer], predictions: Mapping[str, str] | None = None) -> CaptionScore:
    """Return caption metrics of the answers, or of ``predictions`` by key if given.

    A caption that is cut off is scored as it is.
    """
    pairs = [
        CaptionPair(answer.truth, answer.text if predictions is None else predictions[answer.key]) for answer in answers
    ]
    images = [answer.image for answer in answers]
    tokenized = [CaptionPair(ptb_tokenize(pair.truth), ptb_tokenize(pair.answer)) for pair in pairs]
    plain = _caption_metrics(pairs, images)
    empty = sum(not pair.answer.strip() for pair in pairs)
    return CaptionScore(plain.bleu, plain.rouge_l, plain.cider, len(pairs), empty, _caption_metrics(tokenized, images))


def _caption_metrics(pairs: Sequence[CaptionPair], images: Sequence[str]) -> CaptionMetrics:
    rouges = bootstrap_mean([rouge_l(pair) for pair in pairs], images)
    return CaptionMetrics(bleu(pairs), rouges, bootstrap_mean(cider(pairs), images))


def _accuracies(answers: Sequence[Answer], correct: Sequence[bool]) -> Accuracies:
    """Return accuracy overall and per application, in the paper's order."""
    groups = {OVERALL: list(range(len(answers)))} if answers else {}
    for application in Application:
        if indices := [index for index, answer in enumerate(answers) if answer.application is application]:
            groups[application] = indices
    return {
        group: bootstrap_mean([correct[index] for index in indices], [answers[index].image for index in indices])
        for group, indices in groups.items()
    }
