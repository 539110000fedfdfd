"""Source, city, and spatial resolution of an image, derived from its file name by rules.

The release names no source. The rules follow the names in its README and in the source data sets; resolutions are those
that the paper states for each source, in meters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where an image is from, and the name of the rule that says so."""

    source: str
    city: str
    resolution: str
    rule: str


_RULES = (
    ("SARDet-100K", "0.1-25 m", "digits only", re.compile(r"\d+")),
    ("SpaceNet6", "0.5 m", "SN6 prefix", re.compile(r"SN6_.*?AOI_\d+_(?P<city>[A-Za-z]+).*")),
    (
        "DFC2023",
        "0.5-2 m",
        "satellite, city, latitude, longitude",
        re.compile(r"(?:SV|GF\d?|GF-\d)_(?P<city>.+?)_-?\d+\.\d+_-?\d+\.\d+"),
    ),
    (
        "OpenEarthMap-SAR",
        "0.15-0.5 m",
        "country, region, city, number",
        re.compile(r"[A-Z][A-Za-z.-]+(?:_[A-Za-z.-]+)*_(?P<city>[A-Z][A-Za-z.-]+)_\d+"),
    ),
)


def image_source(name: str) -> ImageSource:
    """Return the source of an image by the first rule that matches its file name without folders and suffix."""
    path = PurePosixPath(name)
    stem = path.stem if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"} else path.name
    for source, resolution, rule, pattern in _RULES:
        if match := pattern.fullmatch(stem):
            return ImageSource(source, match.groupdict().get("city") or UNKNOWN, resolution, rule)
    return ImageSource(UNKNOWN, UNKNOWN, UNKNOWN, "no rule")
