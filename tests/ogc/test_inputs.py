"""Inputs of the OGC processes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sarlens.api.ogc.inputs import CaptionInputs, OgcBbox, SurveyInputs, VqaInputs, unwrap_qualified_values
from sarlens.errors import BadRequest
from sarlens.surveys.spec import SurveyQuestion, SurveySpec
from sarlens.types.render_params import RenderParams

IMAGE = "s3://scenes/port.tif"
QUESTION = "How many ships are in the image?"


@pytest.mark.parametrize(
    ("value", "unwrapped"),
    [
        ({"value": 1}, 1),
        ({"value": {"a": 1}, "mediaType": "application/json"}, {"a": 1}),
        ([{"value": 1}, 2], [1, 2]),
        ({"mediaType": "text/plain"}, {"mediaType": "text/plain"}),
        ({"value": 1, "unit": "m"}, {"value": 1, "unit": "m"}),
        ({"href": IMAGE}, {"href": IMAGE}),
        ({}, {}),
        ("x", "x"),
    ],
)
def test_qualified_values_are_unwrapped(value: Any, unwrapped: Any) -> None:
    """An object with value, and at most mediaType next to it, is replaced by its value, alone or in a list."""
    assert unwrap_qualified_values({"x": value}) == {"x": unwrapped}


def test_a_vqa_is_a_survey_of_one_window() -> None:
    """Questions about a window have no tile size; one question can be a plain text."""
    inputs = VqaInputs.model_validate({"image": {"href": IMAGE}, "question": QUESTION, "window": [1, 2, 30, 40]})
    assert inputs.to_spec() == SurveySpec(
        url=IMAGE,
        questions=(SurveyQuestion(question=QUESTION),),
        render=RenderParams(window=(1, 2, 30, 40)),
    )


@pytest.mark.parametrize(("style", "max_tokens"), [("concise", 128), ("complex", 512)])
def test_a_caption_has_tokens_for_its_style(style: str, max_tokens: int) -> None:
    """A detailed caption has 512 tokens, a concise one 128."""
    spec = CaptionInputs.model_validate({"image": IMAGE, "style": style}).to_spec(wrap_as_document=True)
    assert (spec.caption, spec.max_tokens, spec.questions, spec.wrap_as_document) == (style, max_tokens, (), True)


def test_a_survey_has_tiles() -> None:
    """Without a size, tiles have what the model sees, and the overlap is 0; it is at most half of the tile."""
    spec = SurveyInputs.model_validate({"image": IMAGE, "question": [QUESTION, QUESTION]}).to_spec()
    assert (spec.tile, spec.overlap, len(spec.questions)) == ("model", 0, 2)
    inputs = {"image": IMAGE, "question": QUESTION, "tile": 100}
    assert SurveyInputs.model_validate(inputs | {"overlap": 50}).to_spec().overlap == 50
    with pytest.raises(ValidationError, match="overlap must be at most half of tile"):
        SurveyInputs.model_validate(inputs | {"overlap": 51})


def test_heights_of_a_bbox_are_dropped() -> None:
    """A bbox with six numbers has heights at positions 3 and 6; five numbers are invalid."""
    assert OgcBbox(bbox=(1, 2, 3, 4)).flat == (1, 2, 3, 4)
    assert OgcBbox(bbox=(1, 2, 0, 3, 4, 9)).flat == (1, 2, 3, 4)
    with pytest.raises(ValidationError, match="bbox must have four or six numbers"):
        OgcBbox(bbox=(1, 2, 3, 4, 5))


def test_a_bbox_keeps_its_crs() -> None:
    """Bbox and CRS become render parameters; a bbox and a window exclude each other."""
    bbox = {"bbox": [1, 2, 3, 4], "crs": "http://www.opengis.net/def/crs/EPSG/0/32631"}
    spec = VqaInputs.model_validate({"image": IMAGE, "question": QUESTION, "bbox": bbox}).to_spec()
    assert spec.render.bbox == (1, 2, 3, 4)
    assert spec.render.bbox_crs == bbox["crs"]
    both = VqaInputs.model_validate({"image": IMAGE, "question": QUESTION, "bbox": bbox, "window": [0, 0, 9, 9]})
    with pytest.raises(ValidationError):
        both.to_spec()


def test_a_data_url_is_rejected() -> None:
    """A job reads its image more than once, so the image can't be a data: URL."""
    inputs = VqaInputs.model_validate({"image": "data:image/png;base64,AAAA", "question": QUESTION})
    with pytest.raises(BadRequest):
        inputs.to_spec()
