"""Answers as features, and totals per question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from rasterio.transform import Affine

from sarlens.errors import NoWorkerAvailable, SarlensError
from sarlens.imagery.geo.georeference import Georeference
from sarlens.inference.sar_tasks import Task, TaskAnswer, caption_task, vqa_task
from sarlens.stac import Acquisition
from sarlens.surveys.columns import VALUE_COLUMNS, answer_columns, value_columns
from sarlens.surveys.features import Totals, tile_feature
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.spec import SurveySpec
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.georeferenced_scenes import AFFINE, UTM

HOW_MANY = vqa_task("How many ships are in the image?", None, "ships")
GEOREFERENCE = Georeference(1000, 700, UTM, AFFINE)
WHERE = vqa_task("Where are most ships positioned within the image?", None)
SOUTH_UP = AFFINE @ Affine.scale(1, -1)
TILE = Window(256, 512, 256, 188)


def make_plan(georeference: Georeference | None = GEOREFERENCE, **fields: Any) -> SurveyPlan:
    """Return a plan with two tiles; the second is ``TILE``."""
    spec = SurveySpec(url="s3://scenes/x.tif", tile=256, **fields)
    tiles = (Window(0, 0, 256, 256), TILE)
    return SurveyPlan("s3://scenes/x.tif", "s3:v1", "nano", 128, georeference, spec.render, tiles, spec)


def make_feature(
    result: TaskAnswer | SarlensError, task: Task = HOW_MANY, plan: SurveyPlan | None = None
) -> dict[str, Any]:
    """Return the feature of tile 1 and question 2."""
    return tile_feature(plan or make_plan(), "job", 1, 2, task, result)[0]


def test_a_feature_has_tile_question_and_answer() -> None:
    """The properties of an answer are complete, and the time of the answer is now."""
    feature = make_feature(TaskAnswer("3 ships", {"total_tokens": 9}, 0.1, 0.75))
    assert (feature["type"], feature["id"]) == ("Feature", "job.1.2")
    answered_at = datetime.fromisoformat(feature["properties"].pop("answered_at"))
    assert abs(datetime.now(UTC) - answered_at) < timedelta(seconds=10)
    assert feature["properties"] == {
        "tile": 1,
        "reduction": 2.0,
        "core_share": 1.0,
        "col": 256,
        "row": 512,
        "width": 256,
        "height": 188,
        "question": "How many ships are in the image?",
        "question_id": "ships",
        "application": "instance_counting",
        "answer": "3 ships",
        "type": "integer",
        "count": 3,
        "yes": None,
        "class": None,
        "position": None,
        "position_on_map": None,
        "text": None,
        "confidence": 0.75,
        "finish_reason": None,
        "model": "nano",
        "image": "s3://scenes/x.tif",
        "image_version": "s3:v1",
        "survey": "job",
        "radiometry": "relative",
    }


@pytest.mark.parametrize(
    ("question", "text", "column", "value"),
    [
        ("Are there any ships in the image?", "No", "yes", False),
        ("How many ships are in the image?", "12", "count", 12),
        ("Where are most ships positioned within the image?", "top left", "position", "top left"),
        ("Choose one of these classes: ship, tank. What is in the area [1, 2, 3, 4]?", "ship", "class", "ship"),
        ("What type of area is mostly visible?", " Open sea ", "text", "Open sea"),
    ],
)
def test_a_value_is_in_the_column_of_its_type(question: str, text: str, column: str, value: Any) -> None:
    """The value is in one of five columns, by the type of the question; the other four are null."""
    properties = make_feature(TaskAnswer(text, None, 0.1), vqa_task(question, None))["properties"]
    assert "value" not in properties
    values = {name: properties[name] for name in VALUE_COLUMNS.values()}
    assert values == dict.fromkeys(values) | {column: value}
    assert type(values[column]) is type(value)


def test_all_properties_are_columns() -> None:
    """Each property of a feature is a column of its declared type, in the order of the columns."""
    python_types = {"integer": int, "number": float, "boolean": bool, "string": str, "array": list}
    acquisition = Acquisition(item="S1A", asset="vv", platform="sentinel-1a", polarizations=("VV", "VH"))
    plan = make_plan(acquisition=acquisition)
    answers: list[TaskAnswer | SarlensError] = [
        TaskAnswer("[10, 20, 30, 40]", None, 0.1, 0.5),
        TaskAnswer("3", None, 0.1),
        NoWorkerAvailable("No."),
    ]
    columns = {column.name: column for column in answer_columns()}
    for result in answers:
        properties = orjson.loads(orjson.dumps(make_feature(result, plan=plan)["properties"]))
        assert [*properties] == sorted(properties, key=[*columns].index)
        for name, value in properties.items():
            assert value is None or type(value) is python_types[columns[name].type], name


@pytest.mark.parametrize(
    ("orient", "affine", "on_map"),
    [
        ("image", AFFINE, "top left"),
        ("image", SOUTH_UP, "bottom left"),
        ("north", SOUTH_UP, "top left"),
        ("image", None, None),
    ],
)
def test_a_position_is_also_given_on_the_map(orient: Any, affine: Any, on_map: str | None) -> None:
    """A picture whose first row is in the south: its top is the bottom of the map, unless the picture is turned."""
    georeference = None if affine is None else Georeference(1000, 700, UTM, affine)
    plan = make_plan(georeference, render=RenderParams(orient=orient))
    feature = make_feature(TaskAnswer("top left", None, 0.1), WHERE, plan)
    properties = feature["properties"]
    assert (properties["position"], properties["position_on_map"]) == ("top left", on_map)
    totals = Totals()
    totals.add(feature)
    assert totals.as_list()[0]["tiles_by_value"] == {on_map or "top left": 1}


def test_regions_of_a_turned_picture_are_those_of_the_image() -> None:
    """A region at the top of a picture with north up is at the bottom of the stored image."""
    georeference = Georeference(1000, 700, UTM, SOUTH_UP)
    plan = make_plan(georeference, render=RenderParams(orient="north"))
    properties = make_feature(TaskAnswer("[0, 0, 10, 20]", None, 0.1), plan=plan)["properties"]
    height = 2 * 20  # the picture has half the pixels
    assert properties["boxes"] == [georeference.footprint(Window(256, 512 + 188 - height, 20, height))]


def test_a_failed_task_has_its_error() -> None:
    """A failed task has neither answer nor value, and the code and message of its error."""
    properties = make_feature(NoWorkerAvailable("No worker."))["properties"]
    assert (properties["error"], properties["error_message"]) == ("no_worker", "No worker.")
    assert (properties["answer"], properties["count"], properties["confidence"]) == (None, None, None)
    assert properties["type"] == "integer"


def test_a_footprint_is_the_tile_on_the_map() -> None:
    """The footprint has the corners of the tile in degrees, and the bounds enclose it."""
    feature, bounds = tile_feature(make_plan(), "job", 1, 0, HOW_MANY, TaskAnswer("1", None, 0.1))
    ring = np.array(feature["geometry"]["coordinates"][0])
    corners = GEOREFERENCE.boundary(TILE)
    assert bounds == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)), abs=1e-9)
    assert bounds == pytest.approx((*ring.min(axis=0), *ring.max(axis=0)), abs=1e-9)
    assert tuple(ring[0]) == tuple(ring[-1])


def test_an_image_without_a_georeference_has_no_footprint() -> None:
    """Without a georeference, geometry and bounds are null, and regions have no geometry."""
    feature, bounds = tile_feature(make_plan(None), "job", 1, 0, HOW_MANY, TaskAnswer("[1, 2, 3, 4]", None, 0.1))
    assert (feature["geometry"], bounds) == (None, None)
    assert "boxes" not in feature["properties"]


class FixedGeoreference:
    """A georeference whose footprints have fixed longitudes."""

    def __init__(self, west: float, east: float) -> None:
        self._ring = np.array([(west, 0.0), (east, 0.0), (east, 1.0), (west, 1.0), (west, 0.0)])

    def boundary(self, _: Window) -> Any:
        """Return the ring."""
        return self._ring


@pytest.mark.parametrize(
    ("west", "east", "bounds"),
    [
        (179.0, 181.0, (179.0, 0.0, 181.0, 1.0)),
        (181.0, 182.0, (-179.0, 0.0, -178.0, 1.0)),
        (-181.0, -179.0, (179.0, 0.0, 181.0, 1.0)),
        (-180.0, -179.0, (-180.0, 0.0, -179.0, 1.0)),
        (180.0, 181.0, (-180.0, 0.0, -179.0, 1.0)),
    ],
)
def test_bounds_start_between_minus_180_and_180(west: float, east: float, bounds: tuple[float, ...]) -> None:
    """The west of the bounds is at least -180 and below 180; across the antimeridian, the east exceeds 180."""
    georeference: Any = FixedGeoreference(west, east)
    assert tile_feature(make_plan(georeference), "job", 1, 0, HOW_MANY, TaskAnswer("1", None, 0.1))[1] == bounds


def test_regions_of_an_answer_become_boxes() -> None:
    """A region in pixels of the rendered tile becomes the footprint of the pixels that it touches."""
    task = vqa_task("Where is the ship?", None)
    properties = make_feature(TaskAnswer("[10, 20, 30, 40]", None, 0.1), task)["properties"]
    assert properties["boxes"] == [GEOREFERENCE.footprint(Window(256 + 20, 512 + 40, 60, 80))]


def test_acquisition_metadata_are_columns() -> None:
    """The acquisition of a STAC Item adds its known fields as flat properties."""
    acquisition = Acquisition(item="S1A", asset="vv", platform="sentinel-1a", polarizations=("VV", "VH"))
    plan = make_plan(acquisition=acquisition, render=RenderParams(calibration="sigma0"))
    properties = make_feature(TaskAnswer("1", None, 0.1), plan=plan)["properties"]
    assert (properties["item"], properties["asset"]) == ("S1A", "vv")
    assert (properties["platform"], properties["polarizations"]) == ("sentinel-1a", "VV,VH")
    assert properties["radiometry"] == "sigma0"
    kept = make_plan(render=RenderParams(calibration="gamma0", noise="keep"))
    assert make_feature(TaskAnswer("1", None, 0.1), plan=kept)["properties"]["radiometry"] == "gamma0_noise_kept"
    assert "question_id" not in make_feature(TaskAnswer("A sea.", None, 0.1), caption_task("concise"))["properties"]


def answer(question: str, answer_type: str, value: Any, **more: Any) -> dict[str, Any]:
    """Return a feature with the properties that totals read."""
    return {
        "properties": {
            "question": question,
            "type": answer_type,
            **value_columns(answer_type, value),
            "core_share": 1.0,
            **more,
        }
    }


def totals(*features: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the totals of features."""
    result = Totals()
    for feature in features:
        result.add(feature)
    return result.as_list()


def test_counts_are_summed() -> None:
    """Sum, highest count and tiles above zero leave out failed tiles and answers without a number."""
    counts = [answer("Q", "integer", value) for value in (0, 2, 2, 5, None)]
    failed = [answer("Q", "integer", None, error="timeout") for _ in range(2)]
    expected = {"question": "Q", "type": "integer", "answers": 5, "failed": 2}
    assert totals(*counts, *failed) == [expected | {"sum": 9, "highest": 5, "tiles_above_zero": 3}]


def test_counts_of_overlapping_tiles_are_estimated() -> None:
    """If tiles overlap, there is no sum but an estimate: counts weighted with the share of their tile's own area."""
    shares = ((2, 0.75), (1, 0.5), (4, 1.0), (None, 0.5))
    (total,) = totals(*(answer("Q", "integer", value, core_share=share) for value, share in shares))
    assert "sum" not in total
    assert (total["estimate"], total["highest"], total["tiles_above_zero"]) == (6.0, 4, 3)


def test_a_tile_knows_its_own_area() -> None:
    """The share is the product of those along both sides, with overlaps counted by halves."""
    spec = SurveySpec(url="s3://scenes/x.tif", tile=256, overlap=64)
    tiles = (Window(0, 0, 256, 256), Window(192, 0, 256, 256), Window(0, 192, 256, 256), Window(192, 192, 256, 256))
    plan = SurveyPlan("s3://scenes/x.tif", "s3:v1", "nano", 256, None, spec.render, tiles, spec)
    assert [plan.core_share(tile) for tile in range(4)] == [(224 / 256) ** 2] * 4


def test_booleans_are_counted() -> None:
    """Yes and no are numbers of tiles; an answer that is neither counts as an answer only."""
    features = [answer("Q", "boolean", value) for value in (True, True, False, None)]
    assert totals(*features) == [{"question": "Q", "type": "boolean", "answers": 4, "yes": 2, "no": 1}]


@pytest.mark.parametrize("answer_type", ["class", "position"])
def test_classes_are_counted_by_value(answer_type: str) -> None:
    """Classes and positions have the number of tiles by value, in alphabetical order."""
    features = [answer("Q", answer_type, value) for value in ("ship", "car", "ship", None)]
    (total,) = totals(*features)
    assert total["answers"] == 4
    assert list(total["tiles_by_value"].items()) == [("car", 1), ("ship", 2)]


def test_texts_are_counted_only() -> None:
    """Texts have a number of answers and no values."""
    features = [answer("Q", "text", value) for value in ("a", "b")]
    assert totals(*features) == [{"question": "Q", "type": "text", "answers": 2}]


def test_each_question_has_a_total() -> None:
    """Questions have separate totals in the order of their first feature; one that always failed has no answers."""
    features = [answer("B", "integer", 1), answer("A", "integer", None, error="timeout"), answer("B", "integer", 2)]
    assert totals(*features) == [
        {"question": "B", "type": "integer", "answers": 2, "sum": 3, "highest": 2, "tiles_above_zero": 2},
        {
            "question": "A",
            "type": "integer",
            "answers": 0,
            "failed": 1,
            "sum": 0,
            "highest": None,
            "tiles_above_zero": 0,
        },
    ]
    assert totals() == []


@pytest.mark.parametrize(
    ("result", "count", "finish_reason", "refusal"),
    [
        (TaskAnswer("12", None, 0.1, None, "stop"), 12, "stop", None),
        (TaskAnswer("12", None, 0.1, None, "length"), None, "length", None),
        (TaskAnswer("", None, 0.1, None, "stop", "No."), None, "stop", "No."),
        (NoWorkerAvailable("None."), None, None, None),
    ],
)
def test_cut_off_and_refused_answers_have_no_value(
    result: TaskAnswer | SarlensError, count: int | None, finish_reason: str | None, refusal: str | None
) -> None:
    """A count that may lack digits is null, its text stays, and totals don't add it; a refusal has its own column."""
    feature = make_feature(result)
    properties = feature["properties"]
    assert (properties["count"], properties["finish_reason"], properties.get("refusal")) == (
        count,
        finish_reason,
        refusal,
    )
    assert properties["answer"] == (result.text if isinstance(result, TaskAnswer) else None)
    totals = Totals()
    totals.add(feature)
    assert totals.as_list()[0]["sum"] == (count or 0)
