"""Accuracies by source, city, resolution, and type of question, with the rules that assigned each text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sarbench.run.answers import Answer, Outcome
from sarbench.score.bootstrap import MeanInterval, bootstrap_mean
from sarbench.score.coverage import Coverage, coverage_of
from sarbench.score.lenient_rule import is_leniently_correct
from sarbench.score.sources import image_source
from sarbench.score.strict_rule import is_strictly_correct
from sarlens.prompts.classify import classify_by_rule


@dataclass(frozen=True)
class GroupScore:
    """Scores of the questions of one group."""

    coverage: Coverage
    strict: MeanInterval
    lenient: MeanInterval


Breakdown = dict[str, dict[str, GroupScore]]
"""Scores by dimension (``source``, ``city``, ``resolution``, ``question type``) and group."""
Assignments = dict[str, dict[str, dict[str, int]]]
"""Number of questions by dimension, group, and the rule that assigned them."""

_DIMENSIONS: dict[str, Callable[[Answer], tuple[str, str]]] = {
    "application": lambda answer: (answer.application, classify_by_rule(answer.question)[1]),
    "source": lambda answer: (image_source(answer.image).source, image_source(answer.image).rule),
    "city": lambda answer: (image_source(answer.image).city, image_source(answer.image).rule),
    "resolution": lambda answer: (image_source(answer.image).resolution, image_source(answer.image).rule),
    "question type": lambda answer: (question_type(answer.question), classify_by_rule(answer.question)[1]),
}
"""Group of a text, and the rule that assigned it."""


def question_type(question: str) -> str:
    """Return the type of a question: the application or, for Others, the paper's subtype; with the rule's name."""
    application, rule = classify_by_rule(question)
    return f"{application.heading}: {rule}"


def is_right(answer: Answer, rule: Callable[[str, str], bool]) -> bool:
    """Whether a text has an answer that is correct by a rule."""
    return answer.outcome is Outcome.ANSWERED and rule(answer.truth, answer.text)


def break_down(answers: Sequence[Answer]) -> Breakdown:
    """Return the scores of questions in each dimension but the application, largest groups first."""
    strict = [is_right(answer, is_strictly_correct) for answer in answers]
    lenient = [is_right(answer, is_leniently_correct) for answer in answers]
    breakdown: Breakdown = {}
    for dimension, group_of in _DIMENSIONS.items():
        if dimension != "application":
            groups: defaultdict[str, list[int]] = defaultdict(list)
            for index, answer in enumerate(answers):
                groups[group_of(answer)[0]].append(index)
            ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
            breakdown[dimension] = {
                name: _score([answers[i] for i in indices], [strict[i] for i in indices], [lenient[i] for i in indices])
                for name, indices in ordered
            }
    return breakdown


def count_assignments(answers: Sequence[Answer]) -> Assignments:
    """Return how many questions each rule assigned to each group."""
    assignments: Assignments = {}
    for dimension, group_of in _DIMENSIONS.items():
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for answer in answers:
            group, rule = group_of(answer)
            counts[group][rule] += 1
        assignments[dimension] = {group: dict(rules.most_common()) for group, rules in sorted(counts.items())}
    return assignments


def _score(answers: Sequence[Answer], strict: Sequence[bool], lenient: Sequence[bool]) -> GroupScore:
    images = [answer.image for answer in answers]
    return GroupScore(coverage_of(answers), bootstrap_mean(strict, images), bootstrap_mean(lenient, images))
