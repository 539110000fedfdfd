"""From a run's answers to its scores: everything that ``score.json`` holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sarbench.dataset.layout import Variety
from sarbench.errors import ScoreError
from sarbench.run.answers import Answer
from sarbench.score.bootstrap import Mean, mean_of
from sarbench.score.captions import Pair, bleu, cider, rouge_l
from sarbench.score.judge import Case, case_of
from sarbench.score.majority import Majority
from sarbench.score.paper import Mark, paper_mark
from sarbench.score.strict import strictly_right
from sarlens.prompts.applications import Application

OVERALL = "overall"
Rates = dict[str, Mean]
"""Accuracy overall and by application, the latter by its name."""


@dataclass(frozen=True)
class PaperScore:
    """Accuracy by the authors' rule; ``unjudged`` answers had no verdict and count as wrong."""

    accuracy: Rates
    unjudged: dict[str, int]
    judge: str | None


@dataclass(frozen=True)
class CaptionScore:
    """Scores of one kind of caption, as pycocoevalcap gives them: BLEU and ROUGE-L to 1, CIDEr to 10."""

    n: int
    bleu: tuple[float, float, float, float]
    rouge_l: Mean
    cider: Mean


@dataclass(frozen=True)
class Baselines:
    """What needs no model: the majority answer, marked strictly, and the nearest image's caption."""

    majority_from: str
    majority: Rates = field(default_factory=dict)
    retrieval: dict[str, CaptionScore] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """The scores of one run. ``total`` texts were to be asked; those without an answer are in no score."""

    model: str
    blackout: bool
    total: int
    answered: int
    strict: Rates
    paper: PaperScore
    captions: dict[str, CaptionScore]
    baselines: Baselines


BOARD = TypeAdapter(Board)
FILE = "score.json"


def keep_board(run: Path, board: Board) -> None:
    """Write the scores of the run in a folder."""
    (run / FILE).write_bytes(BOARD.dump_json(board, indent=2) + b"\n")


def read_board(run: Path) -> Board:
    """The scores of the run in a folder.

    Raises:
        ScoreError: it has none, or another version's.
    """
    try:
        return BOARD.validate_json((run / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ScoreError(f"{run} has no score of this sarbench: run sarbench score {run} first") from error


def questions(answers: Iterable[Answer]) -> list[Answer]:
    """The answers to questions."""
    return [answer for answer in answers if not answer.variety.is_caption]


def by_variety(answers: Iterable[Answer]) -> Mapping[Variety, list[Answer]]:
    """The captions, concise and complex apart."""
    found: defaultdict[Variety, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.variety.is_caption:
            found[answer.variety].append(answer)
    return dict(sorted(found.items()))


def strict_rates(asked: Sequence[Answer]) -> Rates:
    """Accuracy by the strict rule."""
    return _rates(asked, [strictly_right(answer.truth, answer.answer) for answer in asked])


def majority_rates(asked: Sequence[Answer], majority: Majority) -> Rates:
    """Accuracy of the majority answers by the strict rule."""
    return _rates(asked, [strictly_right(answer.truth, majority.answer(answer.question)) for answer in asked])


def cases_to_judge(asked: Iterable[Answer]) -> set[Case]:
    """What the authors' rule leaves to a judge, each case once."""
    return {case_of(answer) for answer in asked if paper_mark(answer.truth, answer.answer) is Mark.TO_JUDGE}


def paper_score(asked: Sequence[Answer], verdicts: Mapping[Case, bool], judge: str | None) -> PaperScore:
    """Accuracy by the authors' rule, with the verdicts there are."""
    marks = [paper_mark(answer.truth, answer.answer) for answer in asked]
    judged = [
        verdicts.get(case_of(answer)) if mark is Mark.TO_JUDGE else mark is Mark.RIGHT
        for answer, mark in zip(asked, marks, strict=True)
    ]
    unjudged: defaultdict[str, int] = defaultdict(int)
    for answer, right in zip(asked, judged, strict=True):
        for group in (OVERALL, answer.application):
            unjudged[group] += right is None
    return PaperScore(_rates(asked, [bool(right) for right in judged]), dict(unjudged), judge)


def caption_score(asked: Sequence[Answer], said: Mapping[str, str] | None = None) -> CaptionScore:
    """Scores of captions, or of what ``said`` puts in their place by key."""
    pairs = [Pair(answer.truth, answer.answer if said is None else said[answer.key]) for answer in asked]
    images = [answer.image for answer in asked]
    rouges = mean_of([rouge_l(pair) for pair in pairs], images)
    return CaptionScore(len(pairs), bleu(pairs), rouges, mean_of(cider(pairs), images))


def _rates(asked: Sequence[Answer], right: Sequence[bool]) -> Rates:
    """Accuracy overall and for each application that was asked, in the paper's order."""
    groups = {OVERALL: list(range(len(asked)))} if asked else {}
    for application in Application:
        if places := [place for place, answer in enumerate(asked) if answer.application is application]:
            groups[application] = places
    return {
        group: mean_of([right[place] for place in places], [asked[place].image for place in places])
        for group, places in groups.items()
    }
