"""Whether the runs of a report asked the same texts, and a section that says how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sarbench.report.html.elements import ScoredRun
from sarbench.run.answers import Answer

TextIdentity = tuple[str, str, str, str]
"""Key, image, question, and truth of a text."""


def text_identity(answer: Answer) -> TextIdentity:
    """Return the identity of a text. Texts of two data sets can have one key, but differ in the rest."""
    return answer.key, answer.image, answer.question, answer.truth


def by_identity(answers: Sequence[Answer]) -> Mapping[TextIdentity, Answer]:
    """Return the answers by the identity of their text."""
    return {text_identity(answer): answer for answer in answers}


def comparison_warnings(runs: Sequence[ScoredRun], answers: Sequence[Sequence[Answer]]) -> str:
    """Return a warning for each run whose texts aren't those of the first run."""
    first = set(by_identity(answers[0]))
    return "".join(
        _warning(runs[0], run, first, others)
        for run, texts in zip(runs[1:], answers[1:], strict=True)
        if (others := set(by_identity(texts))) != first
    )


def _warning(first_run: ScoredRun, run: ScoredRun, first: set[TextIdentity], others: set[TextIdentity]) -> str:
    settings = "".join(
        f" {name}: {escape(str(ours))} and {escape(str(theirs))}."
        for name, ours, theirs in zip(("Limit", "Seed", "Split"), first_run.selection, run.selection, strict=True)
        if ours != theirs
    )
    names = f"{escape(first_run.label)} and {escape(run.label)}"
    return (
        f'<p class="warn">{names} have different texts: of {len(first):,} and {len(others):,} texts, '
        f"{len(first & others):,} are in both. Don't compare their scores.{settings}</p>"
    )
