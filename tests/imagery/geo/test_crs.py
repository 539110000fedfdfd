"""Coordinate reference systems."""

from __future__ import annotations

import numpy as np
import pytest

from sarlens.errors import BadRequest
from sarlens.imagery.geo.crs import WGS84, parse_crs, transform_coords


@pytest.mark.parametrize(
    ("name", "epsg"),
    [
        ("CRS84", 4326),
        ("OGC:CRS84", 4326),
        ("ogc:crs84", 4326),
        ("epsg:32631", 32631),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", 4326),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", 4326),
        ("EPSG:32631", 32631),
        ("https://www.opengis.net/def/crs/EPSG/0/3035", 3035),
        ("urn:ogc:def:crs:EPSG::3857", 3857),
    ],
)
def test_a_crs_is_named_by_uri_urn_or_epsg_code(name: str, epsg: int) -> None:
    """The same system has several names."""
    assert parse_crs(name).to_epsg() == epsg


@pytest.mark.parametrize(
    "name", ["", "EPSG:999999", "EPSG:5773", "epsg:", "/etc/passwd", "+proj=longlat", "EPSG:4326+5773", "EPSG:12"]
)
def test_other_names_are_rejected(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Unknown, vertical and compound systems, files and PROJ strings are rejected; nothing goes to standard error."""
    with pytest.raises(BadRequest, match="bbox_crs isn't a known coordinate reference system") as rejected:
        parse_crs(name)
    assert rejected.value.param == "sar.bbox_crs"
    assert capfd.readouterr().err == ""


def test_the_easting_comes_first() -> None:
    """Zone 31 has its central meridian at 3 degrees east and its easting of 500,000 m there."""
    x, y = transform_coords(WGS84, parse_crs("EPSG:32631"), np.array([3.0]), np.array([0.0]))
    np.testing.assert_allclose([x[0], y[0]], [500_000, 0], atol=1e-6)
