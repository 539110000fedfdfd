"""Bursts of a Sentinel-1 IW or EW SLC measurement, merged to one image.

The measurement stacks the bursts of a swath, one below the other. Neighboring bursts show the same ground at their
edges, and their first and last lines have no valid sample. The rule of the merge:

1. All bursts are sampled at one grid of azimuth times. Line *l* of a burst belongs to the output line
   (azimuthTime - azimuthTime of the first burst) / azimuthTimeInterval + *l*.
2. A burst is cut at its first and last line with a valid sample (``firstValidSample`` is not -1).
3. An overlap of two bursts shows the earlier one up to its middle, and the later one from there on.

Sources: Sentinel-1 Product Specification, S1-RS-MDA-52-7441, for ``swathTiming`` and ``geolocationGrid``; the middle of
the overlap is where ESA's SNAP cuts too (operator TOPSAR-Deburst).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import UnsupportedImage
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.core.xml import read_xml

KEEP = ' Use "bursts": "keep" for the bursts as the file stores them.'
_MAX_LINES = 2**20
"""Maximum number of lines of a measurement."""
_MAX_BURSTS = 1024
_MAX_OFF_GRID = 0.1
"""Lines by which the time of a burst may be off the grid."""
_MIN_POINTS, _MAX_POINTS = 3, 1024


class MergedBursts(NamedTuple):
    """The lines of a measurement that form one image."""

    shape: tuple[int, int]
    """Lines and samples that the measurement has."""
    rows: NDArray[np.int64]
    """Line of the measurement for each line of the image."""
    tie_points: NDArray[np.float64]
    """Column and row of the image, longitude and latitude in degrees of each point of the geolocation grid."""


class _Burst(NamedTuple):
    """A burst on the grid of azimuth times."""

    start: int
    """Output line of its first line."""
    first: int
    """Output line of its first valid line."""
    last: int
    """Output line of its last valid line."""


def read_bursts(annotation: ObjectReader) -> MergedBursts | None:
    """Read the bursts of a product annotation, and merge them; None if the measurement has none. Blocks.

    Raises:
        UnsupportedImage: the annotation is damaged, or the bursts leave a gap.
        SarlensError: the object can't be read.
    """
    root = read_xml(annotation, UnsupportedImage)
    bursts = root.findall("swathTiming/burstList/burst")
    if not bursts:
        return None
    try:
        return _merge(root, bursts)
    except (ValueError, OverflowError, TypeError) as error:
        raise UnsupportedImage(f"{annotation.name} doesn't describe bursts that can be merged.{KEEP}") from error


def _merge(root: Element, elements: list[Element]) -> MergedBursts:
    lines, samples = (int(_text(root, f"swathTiming/{name}")) for name in ("linesPerBurst", "samplesPerBurst"))
    if not (0 < lines * len(elements) <= _MAX_LINES and len(elements) <= _MAX_BURSTS and samples > 0):
        raise ValueError
    interval_s = float(_text(root, "imageAnnotation/imageInformation/azimuthTimeInterval"))
    if not interval_s > 0:
        raise ValueError
    origin = np.datetime64(_text(elements[0], "azimuthTime"), "ns")
    bursts = [_place(element, origin, interval_s, lines) for element in elements]
    cuts = [bursts[0].first, *(_cut(*pair) for pair in pairwise(bursts)), bursts[-1].last + 1]
    rows = np.concatenate(
        [
            np.arange(top, bottom) - burst.start + number * lines
            for number, (burst, (top, bottom)) in enumerate(zip(bursts, pairwise(cuts), strict=True))
        ]
    )
    points = root.findall("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    if not _MIN_POINTS <= len(points) <= _MAX_POINTS:
        raise ValueError
    tie_points = np.array([_tie_point(point, origin, interval_s, bursts[0].first) for point in points])
    return MergedBursts((lines * len(elements), samples), rows.astype(np.int64), tie_points)


def _place(element: Element, origin: np.datetime64, interval_s: float, lines: int) -> _Burst:
    position = _lines_since(_text(element, "azimuthTime"), origin, interval_s)
    start = round(position)
    first_samples = np.array(_text(element, "firstValidSample").split(), dtype=np.int64)
    valid = np.flatnonzero(first_samples >= 0)
    if abs(position - start) > _MAX_OFF_GRID or len(first_samples) != lines or not valid.size:
        raise ValueError
    return _Burst(start, start + int(valid[0]), start + int(valid[-1]))


def _cut(burst: _Burst, following: _Burst) -> int:
    """Return the first output line of the following burst: the middle of the overlap.

    Raises:
        ValueError: the bursts aren't in order of time, or no burst has the lines between them.
    """
    if not (burst.first < following.first <= burst.last + 1 and burst.last < following.last):
        raise ValueError
    return (following.first + burst.last + 1) // 2


def _tie_point(point: Element, origin: np.datetime64, interval_s: float, first: int) -> tuple[float, ...]:
    """Return column, row, longitude and latitude; the azimuth time defines the row, also between two bursts."""
    row = _lines_since(_text(point, "azimuthTime"), origin, interval_s) - first
    values = (float(_text(point, "pixel")), row, float(_text(point, "longitude")), float(_text(point, "latitude")))
    if not np.isfinite(values).all():
        raise ValueError
    return values


def _lines_since(time: str, origin: np.datetime64, interval_s: float) -> float:
    return float((np.datetime64(time, "ns") - origin) / np.timedelta64(1, "s")) / interval_s


def _text(parent: Element, path: str) -> str:
    text = parent.findtext(path)
    if text is None:
        raise ValueError
    return text.strip()
