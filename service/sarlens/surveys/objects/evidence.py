"""Evidence: what a survey finds in one tile besides the answer to a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sarlens.inference.sar_tasks import Task, TaskAnswer
from sarlens.inference.second_opinion import agreement
from sarlens.surveys.objects.candidates import Candidate, TileView
from sarlens.surveys.spec import SurveySpec


class TileEvidence(NamedTuple):
    """What a survey finds in one tile besides the answer to a question."""

    targets: int | None = None
    """Targets of the detector, or None if the pixels have no power."""
    agrees: bool | None = None
    """Whether the answer says the same, or None if it can't be compared."""
    candidates: Sequence[Candidate] | None = None
    """Objects in the tile, or None if the question isn't about objects, or none were requested."""

    @classmethod
    def of(cls, spec: SurveySpec, view: TileView, task: Task, answer: TaskAnswer | None) -> TileEvidence:
        """Return the evidence that a specification requests; ``answer`` is None if the question failed."""
        targets = None if view.targets is None else len(view.targets)
        agrees = None if targets is None or answer is None else agreement(task, answer, targets)
        candidates = view.candidates(task, answer) if spec.objects else None
        if candidates is not None and spec.objects == "confirmed":
            candidates = [candidate for candidate in candidates if candidate.is_confirmed]
        return cls(targets, agrees, candidates)

    @property
    def columns(self) -> dict[str, int | bool | None]:
        """Columns of the answer."""
        columns: dict[str, int | bool | None] = {}
        if self.targets is not None:
            columns |= {"cfar_targets": self.targets, "cfar_agrees": self.agrees}
        if self.candidates is not None:
            columns["objects"] = sum(candidate.is_confirmed for candidate in self.candidates)
        return columns
