"""Where an image lies on the Earth: from pixels to longitude and latitude, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, sqrt
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.transform import Affine, AffineTransformer, GCPTransformer
from rasterio.warp import transform as warp

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.rings import Ring, geometry
from sarlens.request import Window

Values = NDArray[np.float64]

WGS84 = CRS.from_epsg(4326)
_MAX_GCPS = 1024
_STEPS = 32
"""Most points on each edge of a footprint, which may be bent."""
_BOW = 0.05


@dataclass(frozen=True)
class Georeference:
    """How the pixels of an image of ``width`` x ``height`` lie in ``crs``.

    Pixels are counted as GDAL counts them: (0, 0) is the upper left corner of the first pixel, (0.5, 0.5) its centre.
    An ``affine`` is exact. Ground control points are interpolated by a thin-plate spline, which passes through all of
    them: Sentinel-1 GRD has no affine, and one fitted to its points is wrong by hundreds of metres. Longitudes and
    latitudes are degrees in WGS 84, longitude first (CRS84), whichever order of axes ``crs`` declares.
    """

    width: int
    height: int
    crs: CRS
    affine: Affine | None
    gcps: tuple[Any, ...] = ()

    @classmethod
    def of(cls, dataset: Any, name: str) -> Georeference:
        """What an open image says of its place; ``name`` is what the caller calls it.

        Raises:
            NotGeoreferenced: it says nothing, or what cannot be used.
        """
        gcps, gcp_crs = dataset.gcps
        if gcps and gcp_crs:
            if not 3 <= len(gcps) <= _MAX_GCPS:
                raise NotGeoreferenced(f"{name} has {len(gcps)} ground control points; 3 to {_MAX_GCPS} are used.")
            found = cls(dataset.width, dataset.height, gcp_crs, None, tuple(gcps))
        elif dataset.crs and dataset.transform != Affine.identity():
            if dataset.transform.is_degenerate or not np.isfinite(dataset.transform).all():
                raise NotGeoreferenced(f"{name} declares a geotransform that cannot be inverted.")
            found = cls(dataset.width, dataset.height, dataset.crs, dataset.transform)
        else:
            raise NotGeoreferenced(
                f"{name} does not say where it lies: it has neither a geotransform nor ground control points with a "
                'coordinate reference system. Ask for a "window" in pixels.'
            )
        if not found.sound:
            raise NotGeoreferenced(f"{name} has a georeference that contradicts itself.")
        return found

    @classmethod
    def of_points(cls, width: int, height: int, pixels: Values, lonlat: Values) -> Georeference:
        """An image of which some places are known: ``pixels`` (place, row and col), ``lonlat`` (place, lon and lat).

        Raises:
            NotGeoreferenced: they contradict each other.
        """
        gcps = (GroundControlPoint(*at, *there) for at, there in zip(pixels, lonlat, strict=True))
        found = cls(width, height, WGS84, None, tuple(gcps))
        if not found.sound:
            raise NotGeoreferenced("The ground control points of the image contradict each other.")
        return found

    @property
    def sound(self) -> bool:
        """Whether corners and centre come back from the Earth to within a pixel of where they were."""
        cols, rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]]).T * [[self.width], [self.height]]
        back = np.array(self.pixels(*self.lonlat(cols, rows)))
        return bool((np.abs(back - [cols, rows]) < 1).all())

    def lonlat(self, cols: Values, rows: Values) -> tuple[Values, Values]:
        """Longitudes in [-180, 180) and latitudes of places in pixels, one for one; not finite where there is none.

        Raises:
            NotGeoreferenced: PROJ or the spline fails on these numbers.
        """
        with _ours():
            x, y = self._transformer.xy(rows, cols, offset="ul")
            if not self._in_degrees:
                x, y = warped(self.crs, WGS84, x, y)
        return (np.asarray(x, float) + 180) % 360 - 180, np.asarray(y, float)

    def pixels(self, lon: Values, lat: Values) -> tuple[Values, Values]:
        """Columns and rows of places on the Earth, one for one, also outside the image; not finite where none.

        Raises:
            NotGeoreferenced: PROJ or the spline fails on these numbers.
        """
        with _ours():
            x, y = np.asarray(lon, float), np.asarray(lat, float)
            if self._in_degrees:
                x = self._middle + (x - self._middle + 180) % 360 - 180
            else:
                x, y = warped(WGS84, self.crs, x, y)
            rows, cols = self._transformer.rowcol(x, y, op=_as_it_is)
        return np.asarray(cols, float), np.asarray(rows, float)

    def boundary(self, window: Window) -> Ring:
        """The outline of a window, (point, longitude and latitude), with points between corners that may be bent.

        It is closed. Longitudes follow each other without a jump, so that they may go beyond 180.

        Raises:
            NotGeoreferenced: some of it is nowhere on the Earth, or it goes around a pole.
        """
        share = np.linspace(0, 1, self._steps(window), endpoint=False)
        left, top, right, bottom = window.col, window.row, window.col + window.width, window.row + window.height
        corners = np.array([[left, top], [left, bottom], [right, bottom], [right, top], [left, top]], dtype=float)
        edges = [start + share[:, None] * (stop - start) for start, stop in pairwise(corners)]
        outline = np.concatenate([*edges, corners[:1]])
        lon, lat = self.lonlat(outline[:, 0], outline[:, 1])
        if not (np.isfinite(lon).all() and np.isfinite(lat).all() and (np.abs(lat) <= 90).all()):
            raise NotGeoreferenced("The image reaches over what its coordinate reference system can place.")
        lon = np.unwrap(lon, period=360).astype(np.float64)
        if abs(lon[-1] - lon[0]) > 180:
            raise NotGeoreferenced("The image lies around a pole, where windows are asked for in pixels.")
        return np.column_stack([lon, lat])

    def footprint(self, window: Window) -> dict[str, Any]:
        """The outline of a window as a GeoJSON geometry, cut into a MultiPolygon at the antimeridian (RFC 7946, 3.1.9).

        Raises:
            NotGeoreferenced: as ``boundary``.
        """
        return geometry(self.boundary(window))

    def _steps(self, window: Window) -> int:
        """Into how many straight pieces an edge has to be cut, so that none is off by more than ``_BOW`` pixels.

        The middle of an edge is furthest from the chord, by a distance that falls with the square of the pieces.
        """
        if self._in_degrees and self.affine:
            return 1
        left, top, right, bottom = window.col, window.row, window.col + window.width, window.row + window.height
        cols, rows = np.array([left, left, right, right, left], float), np.array([top, bottom, bottom, top, top], float)
        lon, lat = self.lonlat(cols, rows)
        chords = [(each[1:] + each[:-1]) / 2 for each in (np.unwrap(lon, period=360), lat)]
        if not all(np.isfinite(each).all() for each in chords):
            return _STEPS
        back = np.array(self.pixels(*chords)) - [(cols[1:] + cols[:-1]) / 2, (rows[1:] + rows[:-1]) / 2]
        off = float(np.hypot(*back).max())
        return min(_STEPS, max(1, ceil(sqrt(off / _BOW)))) if np.isfinite(off) else _STEPS

    @cached_property
    def _in_degrees(self) -> bool:
        return bool(self.crs == WGS84 or self.crs.to_string() == "OGC:CRS84")

    @cached_property
    def _middle(self) -> float:
        """A longitude in the middle of the image, as its own coordinates write it."""
        if self.affine is not None:
            return float((self.affine @ (self.width / 2, self.height / 2))[0])
        return float(np.mean([point.x for point in self._unwrapped]))

    @cached_property
    def _unwrapped(self) -> tuple[Any, ...]:
        """The ground control points, their longitudes without a jump where the image crosses the antimeridian."""
        if not self._in_degrees:
            return self.gcps
        first = self.gcps[0].x
        lon = [first + (point.x - first + 180) % 360 - 180 for point in self.gcps]
        return tuple(
            type(point)(row=point.row, col=point.col, x=x, y=point.y) for point, x in zip(self.gcps, lon, strict=True)
        )

    @cached_property
    def _transformer(self) -> AffineTransformer | GCPTransformer:
        if self.affine is not None:
            return AffineTransformer(self.affine)
        return GCPTransformer(self._unwrapped, tps=True)


@dataclass(frozen=True)
class Layout:
    """The size of an image in pixels, and where it lies; ``why_not`` says why that is not known."""

    width: int
    height: int
    place: Georeference | None
    why_not: str = ""


@contextmanager
def _ours() -> Iterator[None]:
    """Errors of GDAL and PROJ as ours."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        raise NotGeoreferenced("The georeference of the image is damaged: places cannot be computed.") from error


def _as_it_is(values: Any) -> Any:
    """Pixels are wanted with their fractions."""
    return values


def geodesy() -> rasterio.Env:
    """Where PROJ says in exceptions what it has to say, and not on standard error too.

    Left alone, rasterio would also ask boto3 for credentials at every call: 18 ms of CPU.
    """
    return rasterio.Env(session=DummySession())


def warped(source: CRS, target: CRS, x: Any, y: Any) -> tuple[Any, Any]:
    """Coordinates in another CRS, easting or longitude first in both; not finite where there are none.

    Raises:
        RasterioError, CPLE_BaseError, ValueError: PROJ fails on them.
    """
    with geodesy():
        moved = warp(source, target, np.asarray(x, float), np.asarray(y, float))
    return np.asarray(moved[0], float), np.asarray(moved[1], float)
