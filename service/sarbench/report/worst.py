"""The answers to look at first: the worst of each application in turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from sarbench.run.answers import Answer
from sarbench.score.board import by_variety, questions
from sarbench.score.captions import Pair, cider
from sarbench.score.strict import strictly_right
from sarlens.prompts.applications import Application
from sarlens.prompts.words import whole_number

SHOWN = 100
NONSENSE = 10.0
"""How bad an answer to a counting question is that is no number."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A poor answer, how bad it is (0 is perfect), and what can be said of it in a word or two."""

    answer: Answer
    badness: float
    remark: str = ""


def worst(answers: Sequence[Answer], count: int = SHOWN) -> list[Bad]:
    """At most ``count`` poor answers: one application after the other gives its worst, until they are enough."""
    piles: defaultdict[Application, list[Bad]] = defaultdict(list)
    for bad in chain(_wrong(answers), _poor_captions(answers)):
        piles[bad.answer.application].append(bad)
    ordered = [sorted(piles[kind], key=lambda bad: (-bad.badness, bad.answer.key)) for kind in Application]
    dealt = (bad for row in zip_longest(*ordered) for bad in row if bad)
    return [bad for bad, _ in zip(dealt, range(count), strict=False)]


def _wrong(answers: Iterable[Answer]) -> Iterable[Bad]:
    for answer in questions(answers):
        if not strictly_right(answer.truth, answer.answer):
            truth, said = whole_number(answer.truth), whole_number(answer.answer)
            if truth is None:
                yield Bad(answer, 1.0)
            elif said is None:
                yield Bad(answer, NONSENSE, "no number")
            else:
                yield Bad(answer, abs(said - truth) / max(truth, 1), f"off by {abs(said - truth)}")


def _poor_captions(answers: Iterable[Answer]) -> Iterable[Bad]:
    for group in by_variety(answers).values():
        scores = cider([Pair(answer.truth, answer.answer) for answer in group])
        for answer, score in zip(group, scores, strict=True):
            yield Bad(answer, 10 - score, f"CIDEr {100 * score:.0f}")
