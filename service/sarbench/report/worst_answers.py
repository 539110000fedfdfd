"""Selection of the worst answers, alternating between applications."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from sarbench.run.answers import Answer, Outcome
from sarbench.score.caption_metrics import CaptionPair, cider
from sarbench.score.scorecard import captions_by_subset, is_strictly_right, question_answers
from sarlens.prompts.applications import Application
from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import parse_integer

MAX_ANSWERS = 100
NOT_A_NUMBER_ERROR = 10.0
"""Error of an answer to a counting question that isn't a number."""


@dataclass(frozen=True, slots=True)
class PoorAnswer:
    """A poor answer, its error (0 is perfect), and a short remark."""

    answer: Answer
    error: float
    remark: str = ""


def worst_answers(answers: Sequence[Answer], count: int = MAX_ANSWERS) -> list[PoorAnswer]:
    """Return at most ``count`` poor answers, taking the next worst of each application in turn."""
    by_application: defaultdict[Application, list[PoorAnswer]] = defaultdict(list)
    for poor in chain(_wrong_answers(answers), _poor_captions(answers)):
        by_application[poor.answer.application].append(poor)
    ordered = [
        sorted(by_application[application], key=lambda poor: (-poor.error, poor.answer.key))
        for application in Application
    ]
    interleaved = (poor for row in zip_longest(*ordered) for poor in row if poor)
    return [poor for poor, _ in zip(interleaved, range(count), strict=False)]


def _wrong_answers(answers: Iterable[Answer]) -> Iterable[PoorAnswer]:
    for answer in question_answers(answers):
        if is_strictly_right(answer) or answer.failure is not None:
            continue
        truth, predicted = parse_integer(answer.truth), parse_integer(final_answer(answer.text))
        if answer.outcome is not Outcome.ANSWERED:
            yield PoorAnswer(answer, 1.0, answer.outcome)
        elif truth is None:
            yield PoorAnswer(answer, 1.0)
        elif predicted is None:
            yield PoorAnswer(answer, NOT_A_NUMBER_ERROR, "no number")
        else:
            yield PoorAnswer(answer, abs(predicted - truth) / max(truth, 1), f"off by {abs(predicted - truth)}")


def _poor_captions(answers: Iterable[Answer]) -> Iterable[PoorAnswer]:
    for group in captions_by_subset(answers).values():
        scores = cider([CaptionPair(answer.truth, answer.text) for answer in group])
        for answer, score in zip(group, scores, strict=True):
            if answer.failure is None:
                remark = f"CIDEr {100 * score:.0f}"
                yield PoorAnswer(
                    answer, 10 - score, remark if answer.outcome is Outcome.ANSWERED else f"{answer.outcome}, {remark}"
                )
