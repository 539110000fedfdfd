"""Render parameters: defaults, presets and what defines the pixels."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window

DEFAULTS: dict[str, Any] = {
    "window": None,
    "bands": None,
    "swath": None,
    "filter": "refined_lee",
    "scale": "auto",
    "calibration": "none",
    "looks": None,
    "stretch": [2.0, 98.0],
    "size": 448,
}


def test_canonical_parameters_have_all_defaults() -> None:
    """The preset becomes its filter, the size that of the model, and the asset is left out."""
    assert RenderParams().canonical_params(448) == DEFAULTS
    assert RenderParams(asset="vv").canonical_params(448) == DEFAULTS
    assert RenderParams(preset="plain").canonical_params(448) == DEFAULTS | {"filter": "none"}
    assert RenderParams(preset="plain", filter="lee").canonical_params(448) == DEFAULTS | {"filter": "lee"}
    assert RenderParams(size=64).canonical_params(448) == DEFAULTS | {"size": 64}
    assert RenderParams(enlarge=2).canonical_params(448) == DEFAULTS | {"enlarge": 2}


def test_a_nodata_value_defines_the_pixels() -> None:
    """It is part of the canonical parameters only if it is set; 0 is a value."""
    assert RenderParams.model_validate({"nodata": 0}).canonical_params(448) == DEFAULTS | {"nodata": 0.0}
    assert RenderParams(nodata=-9999).canonical_params(448) == DEFAULTS | {"nodata": -9999.0}


def test_a_geometry_must_become_a_window_first() -> None:
    """A bbox has no canonical parameters; the window in its place does, and the CRS is back at its default."""
    render = RenderParams(bbox=(1, 2, 3, 4), bbox_crs="EPSG:32631", bands=("VV",))
    assert render.has_geometry
    with pytest.raises(ValueError, match="must be converted to a window"):
        render.canonical_params(448)
    windowed = render.with_window(Window(1, 2, 3, 4))
    assert windowed == RenderParams(window=(1, 2, 3, 4), bands=("VV",))
    assert windowed.canonical_params(448) == DEFAULTS | {"window": [1, 2, 3, 4], "bands": ["VV"]}
    assert windowed.without_window == RenderParams(bands=("VV",))


RINGS = [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]
FEATURE: dict[str, Any] = {
    "type": "Feature",
    "properties": {"name": "island"},
    "geometry": {"type": "Polygon", "coordinates": RINGS},
}


@pytest.mark.parametrize(
    "sar",
    [
        {"bbox": [float("nan"), 49, 11, 51]},
        {"bbox": [10, 49, 11]},
        {"bbox": [10, 49, 1e10, 51]},
        {"polygon": {"type": "Point", "coordinates": [10, 49]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[541, 0], [1, 0], [1, 1], [541, 0]]]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[0, float("inf")], [1, 0], [1, 1], [0, float("inf")]]]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[i / 1e4, i % 2] for i in range(1000)] + [[0, 0]]]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]] * 17}},
        {"polygon": {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 1]]]]}},
        {"polygon": {"type": "MultiPolygon", "coordinates": [[[[0, 91], [1, 0], [1, 1], [0, 91]]]]}},
        {"polygon": {"type": "MultiPolygon", "coordinates": [RINGS] * 65}},
        {"polygon": {"type": "MultiPolygon", "coordinates": [[[*[[0, 0]] * 999, [0, 0]]]] * 17}},
        {"polygon": {"type": "Feature", "geometry": None}},
        {"polygon": {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}}},
        {"polygon": {"type": "FeatureCollection", "features": []}},
        {"polygon": {"type": "FeatureCollection", "features": [FEATURE] * 65}},
        {"polygon": {"type": "FeatureCollection", "features": [FEATURE, {"geometry": {"type": "Point"}}]}},
        {"polygon": {"type": "FeatureCollection", "features": [7]}},
        {"window": [0, 0, 1.5, 1]},
        {"bands": []},
        {"bands": ["VV", "VH", 1, 2]},
        {"bands": [0]},
        {"looks": [0, 1]},
        {"looks": [65, 1]},
        {"stretch": [-1, 98]},
        {"size": 4097},
        {"filter": "median"},
        {"nodata": float("nan")},
        {"nodata": 1e39},
        {"nodata": "-9999"},
    ],
)
def test_invalid_parameters_are_rejected(sar: dict[str, Any]) -> None:
    """Values that aren't finite, out of range, of another type or too many don't pass validation."""
    with pytest.raises(ValidationError):
        RenderParams.model_validate(sar)


@pytest.mark.parametrize(
    ("document", "polygons"),
    [
        (FEATURE["geometry"], 1),
        (FEATURE, 1),
        ({"type": "MultiPolygon", "coordinates": [RINGS, RINGS]}, 2),
        ({"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [RINGS] * 64}}, 64),
        ({"type": "FeatureCollection", "features": [FEATURE]}, 1),
        (
            {
                "type": "FeatureCollection",
                "features": [FEATURE, {"geometry": {"type": "MultiPolygon", "coordinates": [RINGS, RINGS]}}],
            },
            3,
        ),
    ],
)
def test_an_area_is_a_geometry_a_feature_or_a_collection(document: dict[str, Any], polygons: int) -> None:
    """Each form of GeoJSON polygons gives the same rings, and a stored area is parsed again."""
    area = RenderParams.model_validate({"polygon": document}).polygon
    assert area is not None
    assert area.polygons == (tuple(tuple(map(tuple, ring)) for ring in RINGS),) * polygons
    assert (
        RenderParams.model_validate_json(RenderParams(polygon=area).model_dump_json(exclude_defaults=True)).polygon
        == area
    )


def test_a_polygon_has_up_to_16_rings_of_1000_positions() -> None:
    """The limits themselves are allowed."""
    ring = [[i / 1e4, (i % 2) / 10] for i in range(999)]
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]] * 16}
    parsed = RenderParams.model_validate({"polygon": polygon}).polygon
    assert parsed is not None
    assert [len(positions) for positions in parsed.coordinates] == [1000] * 16


def test_the_radiometry_is_the_coefficient_or_relative() -> None:
    """Without calibration, brightness is relative."""
    assert [RenderParams(calibration=name).radiometry for name in ("none", "sigma0")] == ["relative", "sigma0"]


def test_kept_noise_is_part_of_the_radiometry_and_of_the_pixels() -> None:
    """A calibrated image with its noise is another image and says so; without calibration, ``noise`` has no effect."""
    kept = RenderParams(calibration="beta0", noise="keep")
    assert kept.radiometry == "beta0_noise_kept"
    assert kept.canonical_params(448) == DEFAULTS | {"calibration": "beta0", "noise": "keep"}
    assert RenderParams(calibration="beta0").canonical_params(448) == DEFAULTS | {"calibration": "beta0"}
    assert RenderParams(noise="keep").canonical_params(448) == DEFAULTS
    assert RenderParams(noise="keep").radiometry == "relative"


def test_windows_count_pixels() -> None:
    """A window of 30 x 20 has 600 pixels; looks are unpacked as across and down."""
    assert Window(1, 2, 30, 20).pixels == 600
    across, down = Looks(4, 1)
    assert (across, down) == (4, 1)
