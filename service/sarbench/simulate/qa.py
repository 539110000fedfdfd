"""A question and its answer, and what keeps a set of them fair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sarlens.prompts.applications import Application
from sarlens.prompts.wording import with_classes


@dataclass(frozen=True, slots=True)
class QA:
    """A question and its answer.

    ``topic`` names the questions among which answers are balanced. ``boxed`` questions are made from boxes, as
    SARVQA1 is; the others are general, as SARVQA2 is.
    """

    application: Application
    topic: str
    question: str
    answer: str
    boxed: bool = True

    @property
    def prompted(self) -> str:
        """The question as it is asked where subsets are mixed: a boxed one after the classes that it chooses from."""
        return with_classes(self.question, self.application) if self.boxed else self.question


@dataclass(slots=True)
class Balance:
    """Keeps the answers to each topic even, one question at a time, in the order in which they come.

    An answer is let in as long as it makes up no more than its topic's even share, with a little slack: half of the
    yes/no questions, else ``slack`` times one over the number of answers known so far.
    """

    slack: float = 1.4
    start: int = 4
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def take(self, proposed: Iterable[QA]) -> list[QA]:
        """Those of the questions that keep the balance."""
        return [qa for qa in proposed if self._admit(qa)]

    def _admit(self, qa: QA) -> bool:
        counts = self.counts.setdefault(qa.topic, Counter())
        counts.setdefault(qa.answer, 0)
        polar = qa.answer in {"Yes", "No"}
        share = 0.5 if polar else min(self.slack / len(counts), 0.5)
        if counts[qa.answer] + 1 > share * (sum(counts.values()) + 1) + self.start:
            return False
        counts[qa.answer] += 1
        return True
