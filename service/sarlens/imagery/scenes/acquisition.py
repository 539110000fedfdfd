"""The acquisition of a scene, as a STAC Item, the name of a Sentinel-1 file, or tags of the file describe it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.image_header import ImageHeader

_SENTINEL1_NAME = re.compile(
    r"s1[a-z][-_](?P<mode>[a-z0-9]{2})[a-z0-9_-]*?[-_](?P<time>\d{8}t\d{6})[-_]\d{8}t\d{6}[-_]", re.IGNORECASE
)
"""Source: Sentinel-1 Product Specification, S1-RS-MDA-52-7441, naming of products and measurements."""
_TIME_TAGS = ("ACQUISITION_START_UTC", "ZERODOPPLER_START_TIME", "TIFFTAG_DATETIME")
_ORBIT_TAGS = ("ORBIT_DIRECTION",)
_MODE_TAGS = ("ACQUISITION_MODE", "PRODUCT_TYPE")
_LOOK_TAGS = (("RANGE_LOOKS", "AZIMUTH_LOOKS"),)
_ORBITS = ("ascending", "descending")


def acquisition_document(source_image: SourceImage, header: ImageHeader) -> dict[str, Any]:
    """Return ``time`` (RFC 3339), ``orbit_direction``, ``mode`` and ``looks`` (range, azimuth); None if unknown."""
    name = _SENTINEL1_NAME.search(source_image.measurements[0].reader.name) or _SENTINEL1_NAME.search(source_image.name)
    tags = {tag.upper(): text for tag, text in header.tags.items()}
    item = source_image.acquisition
    time = item and (item.datetime or item.start_datetime)
    return {
        "time": _format(time) if time else (_parse_compact(name["time"]) if name else _tag_time(tags)),
        "orbit_direction": (item and item.orbit_state) or source_image.orbit_direction or _orbit(tags),
        "mode": (item and item.instrument_mode) or (name and name["mode"].upper()) or _first(tags, _MODE_TAGS),
        "looks": _looks(tags),
    }


def _format(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_compact(text: str) -> str | None:
    try:
        return _format(datetime.strptime(text.upper(), "%Y%m%dT%H%M%S").replace(tzinfo=UTC))
    except ValueError:
        return None


def _tag_time(tags: Mapping[str, str]) -> str | None:
    text = _first(tags, _TIME_TAGS) or ""
    for parse in (datetime.fromisoformat, lambda value: datetime.strptime(value, "%Y:%m:%d %H:%M:%S")):  # noqa: DTZ007
        try:
            time = parse(text)
        except ValueError:
            continue
        return _format(time if time.tzinfo else time.replace(tzinfo=UTC))
    return None


def _orbit(tags: Mapping[str, str]) -> str | None:
    text = (_first(tags, _ORBIT_TAGS) or "").lower()
    return text if text in _ORBITS else None


def _looks(tags: Mapping[str, str]) -> tuple[int, int] | None:
    for names in _LOOK_TAGS:
        values = [tags.get(name, "") for name in names]
        if all(value.isascii() and value.isdigit() and len(value) < 4 for value in values):
            return int(values[0]), int(values[1])
    return None


def _first(tags: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((tags[name][:64] for name in names if tags.get(name)), None)
