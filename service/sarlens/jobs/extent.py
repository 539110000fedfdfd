"""Extents in degrees on the circle of longitudes."""

from __future__ import annotations

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees. West is from -180 to 180; across the antimeridian, east exceeds 180."""


def union(first: Bounds | None, second: Bounds | None) -> Bounds | None:
    """Return the smallest bounds around two bounds. None is nothing."""
    if first is None or second is None:
        return first or second
    turns = (tuple(value + turn for value in (second[0], second[2])) for turn in (-360, 0, 360))
    spans = [(min(first[0], west), max(first[2], east)) for west, east in turns]
    west, east = min(spans, key=lambda span: span[1] - span[0])
    south, north = min(first[1], second[1]), max(first[3], second[3])
    if east - west >= 360:
        return -180.0, south, 180.0, north
    turn = -360 if west >= 180 else 360 if west < -180 else 0
    return west + turn, south, east + turn, north
