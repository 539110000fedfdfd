"""Source, city, and resolution of images, from their file names."""

from __future__ import annotations

import pytest

from sarbench.score.sources import image_source
from support.sarlang_fixture import DARWIN, NICE, SARDET


@pytest.mark.parametrize(
    ("name", "source", "city", "resolution"),
    [
        (SARDET, "SARDet-100K", "unknown", "0.1-25 m"),
        ("SARDet/0001.png", "SARDet-100K", "unknown", "0.1-25 m"),
        (DARWIN, "DFC2023", "Darwin", "0.5-2 m"),
        ("GF2_New_Delhi_28.6139_77.2090.tif", "DFC2023", "New_Delhi", "0.5-2 m"),
        ("SV_Darwin_-12.4278_130.8688", "DFC2023", "Darwin", "0.5-2 m"),
        (NICE, "OpenEarthMap-SAR", "Nice", "0.15-0.5 m"),
        ("SN6_Train_AOI_11_Rotterdam_SAR-Intensity_20190804111224.tif", "SpaceNet6", "Rotterdam", "0.5 m"),
        ("chip-00017.png", "unknown", "unknown", "unknown"),
    ],
)
def test_a_file_name_has_a_source(name: str, source: str, city: str, resolution: str) -> None:
    """The name of a file, without folders and suffix, determines source, city, and resolution."""
    found = image_source(name)
    assert (found.source, found.city, found.resolution) == (source, city, resolution)
    assert (found.rule == "no rule") is (source == "unknown")
