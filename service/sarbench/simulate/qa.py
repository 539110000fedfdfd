"""Question-answer pairs, and balancing of their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sarlens.prompts.applications import Application
from sarlens.prompts.templates import with_classes


@dataclass(frozen=True, slots=True)
class QA:
    """A question with its answer.

    Answers are balanced among questions of the same ``topic``. ``boxed`` questions derive from boxes, as in SARVQA1.
    The others are general, as in SARVQA2.
    """

    application: Application
    topic: str
    question: str
    answer: str
    boxed: bool = True

    @property
    def question_with_classes(self) -> str:
        """The question for mixed subsets: a boxed question follows the list of classes that it chooses from."""
        return with_classes(self.question, self.application) if self.boxed else self.question


@dataclass(slots=True)
class AnswerBalancer:
    """Filter that keeps the answers to each topic balanced, in order of arrival.

    An answer is accepted up to its maximum fraction of the topic, plus ``tolerance`` answers. The fraction is 0.5 for
    yes/no questions, and otherwise ``slack`` divided by the number of different answers so far, at most 0.5.
    """

    slack: float = 1.4
    tolerance: int = 4
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def select(self, proposed: Iterable[QA]) -> list[QA]:
        """Return the questions that keep the balance."""
        return [qa for qa in proposed if self._accept(qa)]

    def _accept(self, qa: QA) -> bool:
        counts = self.counts.setdefault(qa.topic, Counter())
        counts.setdefault(qa.answer, 0)
        is_boolean = qa.answer in {"Yes", "No"}
        max_fraction = 0.5 if is_boolean else min(self.slack / len(counts), 0.5)
        if counts[qa.answer] + 1 > max_fraction * (sum(counts.values()) + 1) + self.tolerance:
            return False
        counts[qa.answer] += 1
        return True
