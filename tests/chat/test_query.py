"""Render parameters from JSON and from query strings."""

from __future__ import annotations

from typing import Any

import pytest

from sarlens.chat.query import parse_render, parse_render_query
from sarlens.errors import BadRequest
from sarlens.types.render_params import RenderParams

TRIANGLE = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}'


@pytest.mark.parametrize(
    ("query", "sar"),
    [
        ({"bbox": "10,49.5,11,51", "bbox_crs": "EPSG:32631"}, {"bbox": (10, 49.5, 11, 51), "bbox_crs": "EPSG:32631"}),
        ({"window": "0,1,2,3", "size": "100"}, {"window": (0, 1, 2, 3), "size": 100}),
        ({"bands": "VV,2", "looks": "4,1"}, {"bands": ("VV", 2), "looks": (4, 1)}),
        ({"stretch": "1,99.5", "filter": "lee"}, {"stretch": (1, 99.5), "filter": "lee"}),
        ({"asset": "12", "swath": "1"}, {"asset": "12", "swath": "1"}),
        ({}, {}),
    ],
)
def test_a_query_string_has_the_fields_of_sar(query: dict[str, str], sar: dict[str, Any]) -> None:
    """Lists are separated by commas, numbers become numbers, and an asset, a swath and a CRS stay text."""
    assert parse_render(parse_render_query(query), "sar") == RenderParams(**sar)


def test_a_polygon_in_a_query_string_is_json() -> None:
    """The coordinates of a GeoJSON polygon are parsed; other text is rejected with its field."""
    render = parse_render(parse_render_query({"polygon": TRIANGLE}), "sar")
    assert render is not None
    assert render.polygon is not None
    assert render.polygon.coordinates == (((0, 0), (1, 0), (1, 1), (0, 0)),)
    with pytest.raises(BadRequest) as rejected:
        parse_render(parse_render_query({"polygon": "{"}), "sar")
    assert rejected.value.param == "sar.polygon"


@pytest.mark.parametrize(
    ("sar", "message", "param"),
    [
        ({"stretch": [98, 2]}, "sar: stretch must be two rising percentiles, such as [2, 98].", "sar"),
        (
            {"window": [0, 0, 1, 1], "bbox": [0, 0, 1, 1]},
            "sar: only one of window, bbox and polygon is allowed.",
            "sar",
        ),
        ({"bbox_crs": "EPSG:4326"}, "sar: bbox_crs requires a bbox.", "sar"),
        (
            {"polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}},
            "sar.polygon: the last position of each ring must equal the first.",
            "sar.polygon",
        ),
        (
            {"polygon": {"type": "Polygon", "coordinates": [[[0, 91], [1, 0], [1, 1], [0, 91]]]}},
            "sar.polygon: positions must be [longitude, latitude], with latitudes between -90 and 90.",
            "sar.polygon",
        ),
        ({"size": 15}, "sar.size: Input should be greater than or equal to 16.", "sar.size"),
        ({"colour": "red"}, "sar.colour: Extra inputs are not permitted.", "sar.colour"),
        ([], "sar: Input should be a valid dictionary or instance of RenderParams.", "sar"),
    ],
)
def test_an_invalid_field_is_named(sar: object, message: str, param: str) -> None:
    """The error has one sentence and the path of the field."""
    with pytest.raises(BadRequest) as rejected:
        parse_render(sar, "sar")
    assert (rejected.value.message, rejected.value.param) == (message, param)


def test_no_sar_object_is_none() -> None:
    """Without a ``sar`` object there are no parameters, which differs from an empty object."""
    assert parse_render(None, "sar") is None
    assert parse_render({}, "sar") == RenderParams()
