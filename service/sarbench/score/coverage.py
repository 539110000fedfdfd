"""Coverage of a score: how many of its texts have an answer, and why the others have none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sarbench.run.answers import Answer, Outcome, count_outcomes

OVERALL = "overall"


@dataclass(frozen=True)
class Coverage:
    """Number of texts, and of each outcome that occurs."""

    texts: int
    outcomes: dict[Outcome, int]

    @property
    def answered(self) -> int:
        """Number of texts with an answer."""
        return self.outcomes.get(Outcome.ANSWERED, 0)

    @property
    def causes(self) -> str:
        """Number of texts of each cause of a missing answer, such as ``2 refused, 1 cut off``."""
        return ", ".join(
            f"{self.outcomes[cause]:,} {cause}"
            for cause in Outcome
            if cause is not Outcome.ANSWERED and self.outcomes.get(cause)
        )


def coverage_of(answers: Iterable[Answer]) -> Coverage:
    """Return the coverage of some texts."""
    outcomes = count_outcomes(answers)
    return Coverage(outcomes.total(), dict(outcomes))


def coverages(answers: Iterable[Answer]) -> dict[str, Coverage]:
    """Return the coverage of all questions, of each application, and of each subset of captions."""
    groups: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        for group in (answer.subset,) if answer.subset.is_caption else (OVERALL, answer.application):
            groups[group].append(answer)
    return {group: coverage_of(members) for group, members in groups.items()}
