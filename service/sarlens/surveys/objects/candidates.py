"""Candidates: objects that one tile shows, before those of all tiles are merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from sarlens.imagery.detection.targets import Target
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.sar_tasks import Task, TaskAnswer
from sarlens.prompts.answer_types import Value
from sarlens.prompts.applications import Application
from sarlens.prompts.object_class import object_class, presence_of
from sarlens.types.box import Box
from sarlens.types.window import Window

ObjectSource = Literal["model", "cfar", "both"]
_WEAKER_DB = 15.0
"""Contrast in dB below the weakest stated target at which an answer confirms no more targets."""


class Candidate(BaseModel):
    """One object that a tile shows. Positions are in pixels of the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    col: float
    row: float
    width: float
    height: float
    object_class: str
    score: float | None
    """Probability that the object is of the class, by the model; None if the model gave no probability."""
    source: ObjectSource
    """``both`` is a target that the model confirms, ``model`` a box without a target, and ``cfar`` a target alone."""
    contrast_db: float | None
    """Peak over clutter of the target in dB, or None without a target."""
    is_box: bool
    """Whether the model gave the box; otherwise the detector did."""
    is_cut: bool
    """Whether the target continues beyond the pixels that the detector sees, or the box touches the tile's edge."""
    tile: int
    image_id: str

    @property
    def is_confirmed(self) -> bool:
        """Whether the model says that the object is there."""
        return self.source != "cfar"


class TileView(NamedTuple):
    """What one tile shows: its window, its boxes, the targets in it and the id of its picture."""

    tile: int
    window: Window
    boxes: PictureBoxes
    """How boxes of the picture become those of the image."""
    targets: Sequence[Target] | None
    """Targets of the detector, those of the highest contrast first; None if the pixels have no power."""
    image_id: str

    def candidates(self, task: Task, answer: TaskAnswer | None) -> list[Candidate] | None:
        """Return the objects that the answer to a question shows, or None if the question isn't about objects.

        The boxes of an answer are objects. Without boxes, the answer confirms targets, as ``confirmed_targets`` says.
        Beyond a number, they have the probability that the answer is wrong.

        Args:
            task: the question.
            answer: the answer, or None if the question failed.
        """
        name = object_class(task.question, task.application)
        if name is None:
            return None
        boxes = [] if answer is None else self.boxes.in_image(answer.text)
        if answer is not None and boxes:
            return [self._of_box(name, box, answer) for box in boxes]
        value = None if answer is None else answer.value(task.answer_type)
        score = None if answer is None else answer.confidence
        against = None if score is None or value is None else 1 - score
        targets = self.targets or ()
        stated = stated_targets(task.application, value)
        confirmed = confirmed_targets(targets, stated)
        is_count = task.application is Application.INSTANCE_COUNTING
        return [
            self._of_target(
                name,
                target,
                "both" if rank < confirmed else "cfar",
                score if rank < (stated if is_count else confirmed) else against,
            )
            for rank, target in enumerate(targets)
        ]

    def _of_box(self, name: str, box: Box, answer: TaskAnswer) -> Candidate:
        """Return the object of a box. The targets whose center is in it give its contrast."""
        left, top, width, height = box
        inside = [
            target.contrast_db
            for target in self.targets or ()
            if left <= target.col <= left + width and top <= target.row <= top + height
        ]
        return Candidate(
            col=left + width / 2,
            row=top + height / 2,
            width=width,
            height=height,
            object_class=name,
            score=answer.confidence,
            source="both" if inside else "model",
            contrast_db=max(inside, default=None),
            is_box=True,
            is_cut=not self._contains(left, top, width, height),
            tile=self.tile,
            image_id=self.image_id,
        )

    def _of_target(self, name: str, target: Target, source: ObjectSource, score: float | None) -> Candidate:
        return Candidate(
            col=target.col,
            row=target.row,
            width=target.right - target.left,
            height=target.bottom - target.top,
            object_class=name,
            score=score,
            source=source,
            contrast_db=target.contrast_db,
            is_box=False,
            is_cut=target.is_cut,
            tile=self.tile,
            image_id=self.image_id,
        )

    def _contains(self, left: float, top: float, width: float, height: float) -> bool:
        """Whether a box is inside the tile, apart from its edges."""
        window = self.window
        across = window.col < left and left + width < window.col + window.width
        return across and window.row < top and top + height < window.row + window.height


def stated_targets(application: Application, value: Value) -> int:
    """Return how many objects an answer states: a number, at least one for yes and a position, or none."""
    if not presence_of(application, value):
        return 0
    return value if isinstance(value, int) and not isinstance(value, bool) else 1


def confirmed_targets(targets: Sequence[Target], stated: int) -> int:
    """Return how many of the targets an answer confirms that states so many objects, those of the highest contrast.

    These are the stated ones, and others of at least a thirtieth of the power of the weakest stated one. Weaker targets
    beside them are sidelobes, ambiguities, and parts of wakes and edges more often than objects.
    """
    if not stated or not targets:
        return 0
    weakest = targets[min(stated, len(targets)) - 1].contrast_db - _WEAKER_DB
    return sum(target.contrast_db >= weakest for target in targets)
