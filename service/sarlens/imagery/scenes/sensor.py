"""The sensor of an image, as a STAC Item, the name of a Sentinel-1 file, or the header of the file describes it."""

from __future__ import annotations

import re
from math import isfinite, sqrt

import numpy as np

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.image_header import ImageHeader
from sarlens.imagery.formats.reader import read_extent, read_header
from sarlens.imagery.geo.orientation import ground_steps_m
from sarlens.imagery.scenes.acquisition import acquisition_document
from sarlens.types.sensor import Sensor

_SENTINEL1 = re.compile(r"(?:^|/)s1(?P<unit>[a-d])[-_]", re.IGNORECASE)
_PLATFORM_TAGS = ("SATELLITE_NAME", "PLATFORM", "SATELLITE", "MISSION")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def read_sensor(source_image: SourceImage, limits: DecodeLimits) -> Sensor:
    """Return what is known about the sensor of an image. Only TIFF and SICD have a header that states it. Blocks.

    Raises:
        SarlensError: the header can't be read.
    """
    reader, item = source_image.georeferencing_file, source_image.acquisition
    has_header = read_extent(reader, limits) is not None
    header = read_header(reader, limits) if has_header else None
    mode = item.instrument_mode if item else None
    if header is not None:
        mode = mode or acquisition_document(source_image, header)["mode"]
    spacing_m = None
    if item and item.pixel_spacing_range and item.pixel_spacing_azimuth:
        spacing_m = sqrt(item.pixel_spacing_range * item.pixel_spacing_azimuth)
    platform = (item and (item.platform or item.constellation)) or _platform(source_image, header)
    return Sensor(platform and platform.lower(), mode and mode.lower(), spacing_m or _spacing_m(header))


def _platform(source_image: SourceImage, header: ImageHeader | None) -> str | None:
    names = (source_image.measurements[0].reader.name, source_image.name)
    if found := next((match for name in names if (match := _SENTINEL1.search(name))), None):
        return f"sentinel-1{found['unit']}"
    tags = {name.upper(): text for name, text in header.tags.items()} if header else {}
    text = next((tags[name] for name in _PLATFORM_TAGS if name in tags), "")
    name = _NAME.search(text[:256])
    return name[0] if name else None


def _spacing_m(header: ImageHeader | None) -> float | None:
    if header is None or header.georeference is None:
        return None
    try:
        (across, down) = ground_steps_m(header.georeference)
    except NotGeoreferenced:
        return None
    spacing_m = sqrt(float(np.hypot(*across) * np.hypot(*down)))
    return spacing_m if isfinite(spacing_m) and spacing_m > 0 else None
