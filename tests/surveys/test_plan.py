"""Survey plan: render parameters, scale factors and tasks of each tile."""

from __future__ import annotations

from typing import Any

import pytest

from sarlens.errors import BadRequest
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.spec import SurveyQuestion, SurveySpec
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

TILES = (Window(0, 0, 256, 256), Window(192, 0, 256, 256), Window(384, 0, 100, 256))


def make_plan(
    *questions: str, tiles: Any = TILES, model_size: int = 128, tile: int | None = 256, **render: Any
) -> SurveyPlan:
    """Return a plan for tiles in one row."""
    params = RenderParams(**render)
    asked = tuple(SurveyQuestion(question=question) for question in questions)
    spec = SurveySpec(url="s3://scenes/x.tif", questions=asked, tile=tile, render=params)
    return SurveyPlan("x", "v1", "nano", model_size, None, params, tiles, spec)


def test_a_tile_has_its_window() -> None:
    """Render parameters have the window of the tile, and none for an image of unknown size."""
    plan = make_plan(filter="none")
    assert plan.render_params_for(1) == RenderParams(filter="none", window=(192, 0, 256, 256))
    assert make_plan(tiles=(None,)).render_params_for(0) == RenderParams()
    assert plan.url == "s3://scenes/x.tif"


@pytest.mark.parametrize(
    ("render", "size", "scale"),
    [
        ({}, 128, (0.5, 0.5)),
        ({}, 1024, (1.0, 1.0)),
        ({"size": 64}, 1024, (0.25, 0.25)),
        ({"looks": (2, 4)}, 64, (0.25, 0.125)),
        ({"looks": (2, 4)}, 1024, (0.5, 0.25)),
        ({"looks": (4, 1)}, 128, (0.125, 0.5)),
        ({"enlarge": 2}, 1024, (2.0, 2.0)),
        ({"enlarge": 8}, 512, (2.0, 2.0)),
        ({"enlarge": 8}, 128, (0.5, 0.5)),
    ],
)
def test_scale_factors(render: dict[str, Any], size: int, scale: tuple[float, float]) -> None:
    """The longest side after looks is reduced to the size of the model or of ``render``, and enlarged on request."""
    boxes = make_plan(model_size=size, **render).boxes(0)
    assert boxes is not None
    assert (boxes.frame.width, boxes.frame.height) == (256 * scale[0], 256 * scale[1])
    assert make_plan(model_size=size, tiles=(None,), **render).boxes(0) is None


def test_a_narrow_tile_is_scaled_by_its_height() -> None:
    """The last tile of 100 x 256 pixels has the scale of its longer side."""
    boxes = make_plan().boxes(2)
    assert boxes is not None
    assert (boxes.frame.width, boxes.frame.height) == (50, 128)


def test_every_tile_has_every_question() -> None:
    """Questions without a region have their index and prompt on every tile."""
    plan = make_plan("How many ships are in the image?", "Are there any cars in the image?")
    for tile in range(3):
        assert [index for index, _ in plan.tasks(tile)] == [0, 1]
        assert [task.question for _, task in plan.tasks(tile)] == [
            "How many ships are in the image?",
            "Are there any cars in the image?",
        ]


@pytest.mark.parametrize(
    ("region", "tile", "prompt"),
    [
        ("[0, 0, 256, 256]", 0, "[0, 0, 128, 128]"),
        ("[192.0, 10, 64, 20]", 0, "[96.0, 5.0, 32.0, 10.0]"),
        ("[193.5, 10, 64, 20]", 1, "[0.8, 5.0, 32.0, 10.0]"),
        ("[193, 10, 65, 20]", 1, "[1, 5, 32, 10]"),
        ("[384, 0, 64, 256]", 1, "[96, 0, 32, 128]"),
        ("[384, 0, 100, 256]", 2, "[0, 0, 50, 128]"),
    ],
)
def test_a_region_belongs_to_the_first_tile_that_contains_it(region: str, tile: int, prompt: str) -> None:
    """A region up to the edge of a tile is inside it; the question is asked there alone, in pixels of the tile."""
    plan = make_plan("How many ships are in the image?", f"What is the object in the region {region}?")
    plan.check()
    assert [[index for index, _ in plan.tasks(number)] for number in range(3)] == [
        [0, 1] if number == tile else [0] for number in range(3)
    ]
    assert prompt in plan.tasks(tile)[1][1].prompt


@pytest.mark.parametrize("region", ["[100, 0, 300, 10]", "[0, 200, 10, 57]", "[-1, 0, 10, 10]", "[480, 0, 5, 10]"])
def test_a_region_in_no_tile_is_rejected(region: str) -> None:
    """A region that no tile contains as a whole is a 400 with the region."""
    plan = make_plan(f"What is the object in the region {region}?")
    with pytest.raises(BadRequest, match="No tile contains the whole region") as raised:
        plan.check()
    assert raised.value.param == "questions"


def test_one_window_has_all_regions() -> None:
    """Without a tile size, regions are clipped to the window and moved to its picture; others are rejected."""
    plan = make_plan("What is the object in the region [250, 0, 10, 10]?", tile=None, tiles=(TILES[0],))
    plan.check()
    ((index, task),) = plan.tasks(0)
    assert index == 0
    assert "[125, 0, 3, 5]" in task.prompt
    outside = make_plan("What is the object in the region [900, 0, 10, 10]?", tile=None, tiles=(TILES[0],))
    with pytest.raises(BadRequest, match=r"\[900, 0, 10, 10\] is outside the window \[0, 0, 256, 256\]"):
        outside.check()


def test_surveys_have_no_regions_of_pictures() -> None:
    """A survey has many pictures, so its regions are always those of the image."""
    with pytest.raises(BadRequest, match="leave boxes out"):
        make_plan("How many ships are in the image?", boxes="picture").check()
