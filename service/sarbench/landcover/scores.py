"""Scores of answers about land cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from sarbench.landcover.truth import DOMINANT_ANSWERS, PRESENCE_QUESTIONS
from sarbench.score.bootstrap import MeanInterval, bootstrap_mean
from sarbench.score.tables import format_percent


@dataclass(frozen=True)
class CoverAnswer:
    """Truth and answer of one question."""

    image: str
    window: tuple[int, int, int, int]
    cover: str | None
    """Cover that a presence question is about; None: the question asks for the dominant cover."""
    truth: bool | str
    text: str
    value: bool | None
    """The answer of a presence question; None if it is neither Yes nor No."""
    confidence: float | None
    """Probability of the answer by the model, 0 to 1."""

    @property
    def right(self) -> bool:
        """Whether the answer is the truth. No answer is right if the dominant cover is ``other``."""
        if self.cover is not None:
            return self.value is self.truth
        return self.text.strip().rstrip(".").lower() == DOMINANT_ANSWERS.get(str(self.truth))


@dataclass(frozen=True)
class PresenceScore:
    """Score of one presence question."""

    present: int
    absent: int
    found: int
    """Windows with the cover for which the model says Yes."""
    rejected: int
    """Windows without the cover for which the model says No."""
    accuracy: MeanInterval
    constant: float
    """Accuracy of the same answer to every window, the more frequent one."""
    wrong_confidence: float | None
    """Mean confidence of the wrong answers."""


def presence_scores(answers: Sequence[CoverAnswer]) -> dict[str, PresenceScore]:
    """Return the score of each presence question that was asked."""
    return {
        cover: _presence_score(about)
        for cover in PRESENCE_QUESTIONS
        if (about := [answer for answer in answers if answer.cover == cover])
    }


def _presence_score(answers: Sequence[CoverAnswer]) -> PresenceScore:
    present = [answer for answer in answers if answer.truth]
    absent = [answer for answer in answers if not answer.truth]
    wrong = [answer.confidence for answer in answers if not answer.right and answer.confidence is not None]
    return PresenceScore(
        present=len(present),
        absent=len(absent),
        found=sum(answer.right for answer in present),
        rejected=sum(answer.right for answer in absent),
        accuracy=bootstrap_mean([answer.right for answer in answers], [answer.image for answer in answers]),
        constant=max(len(present), len(absent)) / len(answers),
        wrong_confidence=sum(wrong) / len(wrong) if wrong else None,
    )


def presence_table(answers: Sequence[CoverAnswer]) -> Table:
    """Return a table with a row per presence question."""
    table = Table(title="Is the cover there?")
    for column in ("Cover", "Yes if there", "No if not", "Accuracy, %", "One answer, %", "Confidence if wrong"):
        table.add_column(column, justify="left" if column == "Cover" else "right", no_wrap=True)
    for cover, score in presence_scores(answers).items():
        wrong = "-" if score.wrong_confidence is None else f"{score.wrong_confidence:.3f}"
        yes, no = f"{score.found} of {score.present}", f"{score.rejected} of {score.absent}"
        table.add_row(cover, yes, no, format_percent(score.accuracy), f"{100 * score.constant:.1f}", wrong)
    return table


def dominant_table(answers: Sequence[CoverAnswer]) -> Table:
    """Return a table of the answers to the question for the dominant cover, by the true one."""
    table = Table("Dominant cover", "Windows", "Right", "Answers", title="Which cover dominates?")
    about = [answer for answer in answers if answer.cover is None]
    for truth in sorted({str(answer.truth) for answer in about}):
        of_truth = [answer for answer in about if answer.truth == truth]
        texts = Counter(answer.text for answer in of_truth).most_common()
        said = ", ".join(f"{text} {count}" for text, count in texts)
        table.add_row(truth, str(len(of_truth)), str(sum(answer.right for answer in of_truth)), said)
    return table
