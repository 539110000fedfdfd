"""Where a Sentinel-1 product in SAFE layout keeps the annotation of a measurement."""

from __future__ import annotations

import re

_MEASUREMENT = re.compile(
    r"(?P<product>(?:s3|https)://[^?#]+/)measurement/(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*?)(?P<cog>-cog)?\.tiff?",
    re.IGNORECASE,
)


def annotation_places(url: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """URLs of the calibration and of the noise annotation of a measurement, each with where else it may stand.

    ``…/measurement/NAME.tiff`` has ``…/annotation/calibration/calibration-NAME.xml`` and ``noise-NAME.xml`` beside
    it, also where NAME was made a COG and got ``-cog`` at its end. None where the URL is not of that form: other
    names, and URLs with a query, which opens that one object alone. What is named lies in the same product.
    """
    found = _MEASUREMENT.fullmatch(url)
    if found is None:
        return None
    folder, name = f"{found['product']}annotation/calibration/", found["name"]
    ends = ("", "-cog") if found["cog"] else ("",)
    calibration, noise = (tuple(f"{folder}{kind}-{name}{end}.xml" for end in ends) for kind in ("calibration", "noise"))
    return calibration, noise
