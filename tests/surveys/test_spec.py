"""Survey specification: JSON, tasks and accessed images."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sarlens.errors import BadRequest
from sarlens.inference.sar_tasks import Sampling
from sarlens.stac import Acquisition
from sarlens.surveys.spec import SurveyQuestion, SurveySpec
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams

URL = "s3://scenes/x.tif"
ACQUISITION = Acquisition(item="S1A", asset="vv", platform="sentinel-1a")
QUESTIONS = (
    SurveyQuestion(question="How many ships are in the image?", id="ships"),
    SurveyQuestion(question="Is it a port?", application="object_identification"),
)
FULL = SurveySpec(
    model="nano",
    url=URL,
    render=RenderParams(window=(0, 0, 99, 99), bands=("VV",), calibration="sigma0"),
    questions=QUESTIONS,
    caption="complex",
    tile=128,
    overlap=16,
    max_tokens=9,
    temperature=0.5,
    seed=7,
    output="s3://results/x.gpkg",
    format="gpkg",
    wrap_as_document=True,
    context=True,
    acquisition=ACQUISITION,
)


@pytest.mark.parametrize("spec", [FULL, SurveySpec(url=URL)])
def test_a_specification_survives_the_database(spec: SurveySpec) -> None:
    """JSON without defaults restores an equal specification."""
    assert SurveySpec.model_validate_json(spec.model_dump_json(exclude_defaults=True)) == spec


def test_tasks_are_questions_and_a_caption() -> None:
    """Tasks have the questions in order, with their ids and applications, then the caption."""
    spec = FULL.model_copy(update={"context": False})
    assert [task.id for task in spec.tasks] == ["ships", None, None]
    assert [task.application for task in spec.tasks] == [
        "instance_counting",
        "object_identification",
        "image_description",
    ]
    assert SurveySpec(url=URL).tasks == ()


def test_context_requires_acquisition_metadata() -> None:
    """With context, each prompt starts with the acquisition; without metadata it is a 400."""
    assert all("sentinel-1a" in task.prompt.partition(".")[0] for task in FULL.tasks)
    with pytest.raises(BadRequest) as raised:
        _ = SurveySpec(url=URL, questions=QUESTIONS, context=True).tasks
    assert raised.value.param == "context"


def test_answers_have_a_confidence() -> None:
    """Sampling has the fields of the specification, and requests a confidence."""
    assert FULL.sampling == Sampling(9, 0.5, 7, confidence=True)


def test_the_image_is_read_with_its_render_parameters() -> None:
    """The access check has the image with its render parameters, and not the output."""
    assert FULL.image_request == ImageRequest(URL, FULL.render)
    assert SurveySpec(url=URL).image_request == ImageRequest(URL, RenderParams())


def test_the_grid_has_tile_and_overlap() -> None:
    """A specification without a tile size has no grid."""
    assert FULL.grid == (128, 16)
    assert SurveySpec(url=URL, overlap=16).grid is None


def test_a_resolved_image_keeps_known_metadata() -> None:
    """Model, URL and render parameters are replaced; the acquisition only if the image has one."""
    resolved = FULL.with_resolved_image("mini", "s3://a", RenderParams(), None)
    assert (resolved.model, resolved.url, resolved.render, resolved.acquisition) == (
        "mini",
        "s3://a",
        RenderParams(),
        ACQUISITION,
    )
    other = Acquisition(item="S1B", asset="vh")
    assert FULL.with_resolved_image("mini", "s3://a", RenderParams(), other).acquisition == other
    assert resolved.questions == FULL.questions


@pytest.mark.parametrize("fields", [{"tile": 63}, {"tile": 4097}, {"overlap": -1}, {"format": "shp"}, {"color": 1}])
def test_invalid_fields_are_rejected(fields: dict[str, Any]) -> None:
    """Tile sizes outside 64 to 4096, negative overlaps, unknown formats and unknown fields are invalid."""
    with pytest.raises(ValidationError):
        SurveySpec(url=URL, **fields)
    assert SurveySpec(url=URL, tile=64).tile == 64
    assert SurveySpec(url=URL, tile=4096).tile == 4096
