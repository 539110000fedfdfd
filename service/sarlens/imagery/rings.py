"""Rings of points: cut by lines, cut at the antimeridian, and whether one crosses itself."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[np.float64]
"""Points (point, x and y); the last is the first again."""


def area(ring: Ring) -> float:
    """Twice the area, above zero where the points run counter-clockwise (shoelace formula)."""
    x, y = (ring - ring[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def cut(ring: Ring, axis: int, value: float, *, above: bool) -> Ring:
    """The part of a ring on one side of a line across an axis (Sutherland and Hodgman 1974); empty if none is there."""
    if not len(ring):
        return ring
    side = (ring[:, axis] - value) * (1 if above else -1)
    kept: list[NDArray[np.float64]] = []
    for at in range(len(ring) - 1):
        if side[at] >= 0:
            kept.append(ring[at])
        if (side[at] < 0) != (side[at + 1] < 0):
            share = side[at] / (side[at] - side[at + 1])
            crossing = ring[at] + share * (ring[at + 1] - ring[at])
            crossing[axis] = value
            kept.append(crossing)
    return np.array([*kept, kept[0]]) if kept else ring[:0]


def clip(ring: Ring, low: NDArray[np.float64], high: NDArray[np.float64]) -> Ring:
    """The part of a ring inside a rectangle."""
    for axis in (0, 1):
        ring = cut(cut(ring, axis, low[axis], above=True), axis, high[axis], above=False)
    return ring


def densified(ring: Ring, step: NDArray[np.float64]) -> Ring:
    """The same ring with points in between, so that none is further from the next than ``step`` along either axis."""
    counts = np.maximum(1, np.ceil(np.abs(np.diff(ring, axis=0)) / step).max(axis=1).astype(int))
    share = np.concatenate([np.arange(count) / count for count in counts])[:, None]
    points = np.repeat(ring[:-1], counts, axis=0) + share * np.repeat(np.diff(ring, axis=0), counts, axis=0)
    return np.concatenate([points, ring[-1:]])


def crosses_itself(ring: Ring) -> bool:
    """Whether two edges that do not follow each other meet, or two that do lie on one another."""
    start, stop = ring[:-1], ring[1:]
    count = len(start)
    for at in range(count):
        later = np.arange(at + 1, count)
        follows = (later == at + 1) | ((at == 0) & (later == count - 1))
        if _meet(start[at], stop[at], start[later[~follows]], stop[later[~follows]]).any():
            return True
    ahead, behind = np.roll(stop - start, -1, axis=0), stop - start
    back = (ahead[:, 0] * behind[:, 1] == ahead[:, 1] * behind[:, 0]) & ((ahead * behind).sum(axis=1) < 0)
    return bool(back.any())


def _meet(a: Ring, b: Ring, c: Ring, d: Ring) -> NDArray[np.bool_]:
    """Whether the segment ab has a point in common with each of the segments cd."""
    abc, abd, cda, cdb = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    across: NDArray[np.bool_] = (abc * abd < 0) & (cda * cdb < 0)
    touch: NDArray[np.bool_] = (
        ((abc == 0) & _between(a, b, c))
        | ((abd == 0) & _between(a, b, d))
        | ((cda == 0) & _between(c, d, a))
        | ((cdb == 0) & _between(c, d, b))
    )
    return across | touch


def _turn(a: Ring, b: Ring, c: Ring) -> NDArray[np.float64]:
    """1 where a, b, c turn left, -1 where right, 0 on a line."""
    ab, ac = b - a, c - a
    return np.sign(ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0])


def _between(a: Ring, b: Ring, c: Ring) -> NDArray[np.bool_]:
    inside = (np.minimum(a, b) <= c) & (c <= np.maximum(a, b))
    return np.asarray(inside.all(axis=-1))


def geometry(ring: Ring) -> dict[str, Any]:
    """A ring of longitudes, which may go beyond 180, and latitudes as a GeoJSON Polygon or MultiPolygon (RFC 7946)."""
    ring = ring if area(ring) >= 0 else ring[::-1]
    west, east = ring[:, 0].min(), ring[:, 0].max()
    pieces = []
    for turn in range(int(np.floor((west + 180) / 360)), int(np.ceil((east + 180) / 360))):
        low = 360 * turn - 180
        piece = cut(cut(ring, 0, low, above=True), 0, low + 360, above=False)
        if len(piece) and abs(area(piece)) > 0:
            pieces.append([(piece - (360 * turn, 0)).round(9).tolist()])
    if len(pieces) == 1:
        return {"type": "Polygon", "coordinates": pieces[0]}
    return {"type": "MultiPolygon", "coordinates": pieces}
