"""Merging of the candidates of all tiles: one object for candidates at one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from math import cos, floor, hypot, radians
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.surveys.objects.candidates import Candidate

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG)."""
_METERS_PER_DEGREE = EARTH_RADIUS_M * radians(1)
_BOX_SHARE = 0.25
"""Distance within which two boxes of a model are one object, as a share of the longer side of the longer box."""
_TARGET_DISTANCE_PX = 3.0
"""Distance within which two candidates are always one object: that of one target as neighboring tiles measure it."""
_MIN_OVERLAP = 0.5


class Placed(NamedTuple):
    """A candidate on the ground."""

    candidate: Candidate
    lon: float
    lat: float
    pixel_m: float
    """Length of a pixel in meters."""

    @property
    def length_m(self) -> float:
        """Longer side of the box in meters."""
        return self.pixel_m * max(self.candidate.width, self.candidate.height)

    @property
    def reach_m(self) -> float:
        """Distance in meters within which another candidate is the same object."""
        share = _BOX_SHARE if self.candidate.is_box else 0.0
        return max(share * self.length_m, _TARGET_DISTANCE_PX * self.pixel_m)


def merge_candidates(placed: Sequence[Placed]) -> list[Placed]:
    """Return one candidate per object: greedy non-maximum suppression by distance on the ground, within each class.

    Confirmed candidates come first, then whole ones, then those of the highest score. Each removes the others of its
    class that are within the larger of both reaches, or that overlap at least half of the smaller box if one is a box
    of the model or cut. The kept candidate has the highest score of all that are merged. SAHI
    merges the detections of slices in the same way, by overlap (Akyon et al., ICIP 2022).
    """
    order = sorted(range(len(placed)), key=lambda index: _rank(placed[index]))
    cell_m = max((candidate.length_m + candidate.reach_m for candidate in placed), default=1.0)
    grid: defaultdict[tuple[str, int, int], list[int]] = defaultdict(list)
    east, north = _local_meters(placed)
    best: dict[int, float] = {}
    for index in order:
        cell = floor(east[index] / cell_m), floor(north[index] / cell_m)
        name = placed[index].candidate.object_class
        near = [
            other
            for down, across in product((-1, 0, 1), repeat=2)
            for other in grid[name, cell[0] + across, cell[1] + down]
        ]
        same = [
            other
            for other in near
            if _is_same(placed[index], placed[other], hypot(east[index] - east[other], north[index] - north[other]))
        ]
        if not same:
            grid[name, *cell].append(index)
        for other in same or [index]:
            best[other] = max(best.get(other, -1.0), _score(placed[index]))
    return [
        placed[index]._replace(
            candidate=placed[index].candidate.model_copy(update={"score": None if score < 0 else score})
        )
        for index, score in sorted(best.items())
    ]


def _score(candidate: Placed) -> float:
    """Return the score of a candidate, and -1 without one."""
    return -1.0 if candidate.candidate.score is None else candidate.candidate.score


def _rank(candidate: Placed) -> tuple[bool, bool, float, float]:
    found = candidate.candidate
    return not found.is_confirmed, found.is_cut, -_score(candidate), -(found.contrast_db or 0.0)


def _is_same(first: Placed, second: Placed, distance_m: float) -> bool:
    if distance_m <= max(first.reach_m, second.reach_m):
        return True
    is_vague = any(found.candidate.is_box or found.candidate.is_cut for found in (first, second))
    return is_vague and _overlap(first.candidate, second.candidate) >= _MIN_OVERLAP


def _overlap(first: Candidate, second: Candidate) -> float:
    """Return the intersection of two boxes as a share of the smaller box."""
    across = min(first.width, second.width, (first.width + second.width) / 2 - abs(first.col - second.col))
    down = min(first.height, second.height, (first.height + second.height) / 2 - abs(first.row - second.row))
    smaller = min(first.width * first.height, second.width * second.height)
    return across * down / smaller if across > 0 and down > 0 and smaller > 0 else 0.0


def _local_meters(placed: Sequence[Placed]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return east and north in meters: an equirectangular projection at the latitude of each candidate.

    Two candidates of one object have almost the same latitude, so their distance is right at any latitude. Longitudes
    are relative to the first candidate, so that the antimeridian doesn't separate neighbors.
    """
    lon = np.array([candidate.lon for candidate in placed])
    lat = np.array([candidate.lat for candidate in placed])
    relative = (lon - (lon[0] if lon.size else 0) + 180) % 360 - 180
    parallel = np.array([cos(radians(latitude)) for latitude in lat])
    return relative * parallel * _METERS_PER_DEGREE, lat * _METERS_PER_DEGREE
