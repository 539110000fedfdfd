"""Candidates of one tile: targets and boxes with the answer of the model, and the second opinion."""

from __future__ import annotations

import pytest

from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.turn import Turn
from sarlens.imagery.detection.targets import Target
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.sar_tasks import TaskAnswer, vqa_task
from sarlens.inference.second_opinion import agreement
from sarlens.prompts.boxes import BoxFormat
from sarlens.surveys.objects.candidates import TileView
from sarlens.surveys.objects.evidence import TileEvidence
from sarlens.surveys.spec import SurveySpec
from sarlens.types.window import Window

COUNT = vqa_task("How many ships are in the image?", None)
ANY = vqa_task("Is there a ship in the image?", None)
WHERE = vqa_task("Where is the ship?", None)
STRONG = Target(1030, 520, 1025, 515, 1035, 525, 30.0)
WEAK = Target(1100, 700, 1098, 698, 1102, 702, 16.0)
TILE = Window(1024, 512, 256, 256)
BOXES = PictureBoxes(PictureFrame(TILE, 128, 128), BoxFormat())
VIEW = TileView(4, TILE, BOXES, [STRONG, WEAK], "picture")


def answered(text: str, confidence: float | None = 0.8) -> TaskAnswer:
    """Return an answer of the model."""
    return TaskAnswer(text, None, 0.1, confidence)


@pytest.mark.parametrize(
    ("text", "sources", "scores"),
    [
        ("2", ["both", "both"], [0.8, 0.8]),
        ("1", ["both", "both"], [0.8, 0.2]),
        ("7", ["both", "both"], [0.8, 0.8]),
        ("0", ["cfar", "cfar"], [0.2, 0.2]),
        ("many", ["cfar", "cfar"], [None, None]),
    ],
)
def test_a_count_confirms_targets(text: str, sources: list[str], scores: list[float | None]) -> None:
    """A count above zero confirms all targets; beyond it, the weakest have the probability that the answer is wrong."""
    found = VIEW.candidates(COUNT, answered(text))
    assert found is not None
    assert [candidate.source for candidate in found] == sources
    assert [candidate.score for candidate in found] == pytest.approx(scores)
    assert [candidate.contrast_db for candidate in found] == [30, 16]


def test_weak_targets_beside_strong_ones_are_not_confirmed() -> None:
    """A target 21 dB below the one that is counted is no object; if two are counted, it is."""
    view = VIEW._replace(targets=[STRONG, WEAK._replace(contrast_db=9.0)])
    for task, text, sources in (
        (COUNT, "1", ["both", "cfar"]),
        (ANY, "Yes", ["both", "cfar"]),
        (COUNT, "2", ["both", "both"]),
    ):
        found = view.candidates(task, answered(text))
        assert found is not None
        assert [candidate.source for candidate in found] == sources


def test_yes_and_a_position_confirm_all_targets() -> None:
    """Yes and a position confirm every target, and no confirms none."""
    for task, text, source in ((ANY, "Yes", "both"), (WHERE, "left", "both"), (ANY, "No", "cfar")):
        found = VIEW.candidates(task, answered(text))
        assert found is not None
        assert {candidate.source for candidate in found} == {source}


def test_a_candidate_has_the_place_of_its_target() -> None:
    """Center, size, class, tile and picture are those of the target and the tile."""
    found = VIEW.candidates(COUNT, answered("2", None))
    assert found is not None
    first = found[0]
    assert (first.col, first.row, first.width, first.height) == (1030, 520, 10, 10)
    assert (first.object_class, first.tile, first.image_id, first.score) == ("ship", 4, "picture", None)


def test_boxes_replace_the_targets() -> None:
    """Boxes in pixels of the picture, at half the resolution, are objects; one of them has a target in it."""
    found = VIEW.candidates(WHERE, answered("[0, 0, 10, 8] and [100, 100, 20, 10]"))
    assert found is not None
    places = [(box.col, box.row, box.width, box.height, box.source, box.contrast_db) for box in found]
    assert places == [(1034, 520, 20, 16, "both", 30), (1244, 722, 40, 20, "model", None)]


def test_boxes_of_a_turned_picture_are_turned_back() -> None:
    """In a picture that is upside down, a box at the lower edge is an object at the upper edge of the tile."""
    turned = BOXES._replace(frame=BOXES.frame._replace(turn=Turn(flips_rows=True)))
    found = VIEW._replace(boxes=turned).candidates(WHERE, answered("[0, 120, 10, 8]"))
    assert found is not None
    assert (found[0].col, found[0].row) == (1034, 512 + 8)


def test_other_questions_have_no_candidates() -> None:
    """A question about no class of objects has none, and a failed question confirms none."""
    assert VIEW.candidates(vqa_task("What does the image show?", None), answered("sea")) is None
    found = VIEW.candidates(COUNT, None)
    assert found is not None
    assert [(candidate.source, candidate.score) for candidate in found] == [("cfar", None)] * 2


def test_columns_of_the_evidence() -> None:
    """An answer has the number of targets, whether it agrees, and the number of confirmed objects if requested."""
    spec = SurveySpec(url="s3://scenes/x.tif", objects="all")
    assert TileEvidence.of(spec, VIEW, COUNT, answered("2")).columns == {
        "cfar_targets": 2,
        "cfar_agrees": True,
        "objects": 2,
    }
    assert TileEvidence.of(spec, VIEW, COUNT, answered("0")).columns["objects"] == 0
    without = spec.model_copy(update={"objects": None})
    assert TileEvidence.of(without, VIEW, COUNT, None).columns == {"cfar_targets": 2, "cfar_agrees": None}
    assert TileEvidence.of(without, VIEW._replace(targets=None), COUNT, answered("2")).columns == {}


@pytest.mark.parametrize(
    ("text", "targets", "expected"),
    [("2", 2, True), ("2", 3, False), ("0", 0, True), ("many", 2, None)],
)
def test_a_count_agrees_with_as_many_targets(text: str, targets: int, expected: bool | None) -> None:
    """A count agrees if it is the number of targets."""
    assert agreement(COUNT, answered(text), targets) is expected


@pytest.mark.parametrize(("text", "targets", "expected"), [("Yes", 2, True), ("Yes", 0, False), ("No", 0, True)])
def test_yes_agrees_with_targets(text: str, targets: int, expected: bool) -> None:
    """Yes agrees with at least one target, and no with none; a position can't be compared."""
    assert agreement(ANY, answered(text), targets) is expected
    assert agreement(WHERE, answered("top"), targets) is None
