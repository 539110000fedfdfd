"""Georeferences: transform pixels to longitude and latitude, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine, AffineTransformer, GCPTransformer

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.geo.crs import WGS84, transform_coords
from sarlens.imagery.geo.polygons import Ring, close_around_pole, to_geojson
from sarlens.types.window import Window

Values = NDArray[np.float64]

_MAX_GCPS = 1024
_MAX_EDGE_STEPS = 32
"""Straight pieces of each edge of a footprint, at most."""
_POLAR_EDGE_STEPS = 512
"""Straight pieces of each edge around a pole, where short edges span many longitudes."""
_MAX_EDGE_DEVIATION_PX = 0.05
"""Pixels by which a straight piece of a footprint may differ from the bent edge."""


@dataclass(frozen=True)
class Georeference:
    """The transform between the pixels of an image and a coordinate reference system.

    Pixels follow GDAL's convention: (0, 0) is the upper left corner of the first pixel, (0.5, 0.5) its center. An
    affine transform is exact. Ground control points are interpolated by a thin-plate spline, which passes through all
    of them. Sentinel-1 GRD has no affine transform, and one fitted to its points is wrong by hundreds of meters.
    Longitudes and latitudes are degrees in WGS 84, longitude first (CRS84), regardless of the axis order of the CRS.
    """

    width: int
    """Pixels in a row."""
    height: int
    """Pixels in a column."""
    crs: CRS
    """Coordinate reference system of ``affine`` or ``gcps``."""
    affine: Affine | None
    """Transform from (col, row) to coordinates, or None if there are ground control points."""
    gcps: tuple[Any, ...] = ()
    """Ground control points of rasterio."""

    @classmethod
    def from_dataset(cls, dataset: Any, name: str) -> Georeference:
        """Read the georeference of an open rasterio dataset.

        Args:
            dataset: the open dataset.
            name: name of the image for error messages.

        Raises:
            NotGeoreferenced: the dataset has no georeference, or one that isn't invertible.
        """
        gcps, gcp_crs = dataset.gcps
        if gcps and gcp_crs:
            if not 3 <= len(gcps) <= _MAX_GCPS:
                raise NotGeoreferenced(f"{name} has {len(gcps)} ground control points; supported are 3 to {_MAX_GCPS}.")
            georeference = cls(dataset.width, dataset.height, gcp_crs, None, tuple(gcps))
        elif dataset.crs and dataset.transform != Affine.identity():
            if dataset.transform.is_degenerate or not np.isfinite(dataset.transform).all():
                raise NotGeoreferenced(f"{name} has a geotransform that isn't invertible.")
            georeference = cls(dataset.width, dataset.height, dataset.crs, dataset.transform)
        else:
            raise NotGeoreferenced(
                f"{name} isn't georeferenced: it has neither a geotransform nor ground control points with a "
                'coordinate reference system. Use a "window" in pixels.'
            )
        if not georeference.is_invertible:
            raise NotGeoreferenced(f"{name} has a georeference that isn't invertible.")
        return georeference

    @classmethod
    def from_gcps(cls, width: int, height: int, pixels: Values, lonlat: Values) -> Georeference:
        """Build a georeference from ground control points.

        Args:
            width: pixels in a row.
            height: pixels in a column.
            pixels: positions with shape (point, row and col).
            lonlat: positions with shape (point, longitude and latitude), in degrees.

        Raises:
            NotGeoreferenced: the points contradict each other.
        """
        gcps = (GroundControlPoint(*pixel, *position) for pixel, position in zip(pixels, lonlat, strict=True))
        georeference = cls(width, height, WGS84, None, tuple(gcps))
        if not georeference.is_invertible:
            raise NotGeoreferenced("The ground control points of the image contradict each other.")
        return georeference

    @property
    def is_invertible(self) -> bool:
        """Whether the corners and the center return to within a pixel after both transforms."""
        cols, rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]]).T * [[self.width], [self.height]]
        back = np.array(self.lonlat_to_pixel(*self.pixel_to_lonlat(cols, rows)))
        return bool((np.abs(back - [cols, rows]) < 1).all())

    def pixel_to_lonlat(self, cols: Values, rows: Values) -> tuple[Values, Values]:
        """Longitudes in [-180, 180) and latitudes of pixel positions; values without a position aren't finite.

        Raises:
            NotGeoreferenced: PROJ or the spline fails for these positions.
        """
        with _map_proj_errors():
            x, y = self._transformer.xy(rows, cols, offset="ul")
            if not self._in_degrees:
                x, y = transform_coords(self.crs, WGS84, x, y)
        return (np.asarray(x, float) + 180) % 360 - 180, np.asarray(y, float)

    def lonlat_to_pixel(self, lon: Values, lat: Values) -> tuple[Values, Values]:
        """Columns and rows of positions, also outside the image; values without a position aren't finite.

        Raises:
            NotGeoreferenced: PROJ or the spline fails for these positions.
        """
        with _map_proj_errors():
            x, y = np.asarray(lon, float), np.asarray(lat, float)
            if self._in_degrees:
                x = self._center_longitude + (x - self._center_longitude + 180) % 360 - 180
            else:
                x, y = transform_coords(WGS84, self.crs, x, y)
            rows, cols = self._transformer.rowcol(x, y, op=_keep_fractions)
        return np.asarray(cols, float), np.asarray(rows, float)

    def boundary(self, window: Window) -> Ring:
        """The closed outline of a window, with shape (point, longitude and latitude) in degrees.

        Points between the corners follow bent edges. Longitudes have no jumps, so they can exceed 180. If the window
        contains a pole, the ring goes around the globe, to the pole along a meridian, and back.

        Raises:
            NotGeoreferenced: a point has no position.
        """
        lon, lat = self._outline(window, self._steps(window))
        if abs(lon[-1] - lon[0]) > 180:
            pole = 90.0 if self._contains_north_pole(window) else -90.0
            return close_around_pole(*self._outline(window, _POLAR_EDGE_STEPS), pole)
        return np.column_stack([lon, lat])

    def _outline(self, window: Window, steps: int) -> tuple[Values, Values]:
        """Longitudes without jumps, and latitudes, of the closed outline of a window.

        Raises:
            NotGeoreferenced: a point has no position.
        """
        share = np.linspace(0, 1, steps, endpoint=False)
        left, top, right, bottom = window.col, window.row, window.col + window.width, window.row + window.height
        corners = np.array([[left, top], [left, bottom], [right, bottom], [right, top], [left, top]], dtype=float)
        edges = [start + share[:, None] * (stop - start) for start, stop in pairwise(corners)]
        outline = np.concatenate([*edges, corners[:1]])
        lon, lat = self.pixel_to_lonlat(outline[:, 0], outline[:, 1])
        if not (np.isfinite(lon).all() and np.isfinite(lat).all() and (np.abs(lat) <= 90).all()):
            raise NotGeoreferenced("The image reaches beyond the area that its coordinate reference system covers.")
        return np.unwrap(lon, period=360).astype(np.float64), lat

    def _contains_north_pole(self, window: Window) -> bool:
        col, row = (float(value[0]) for value in self.lonlat_to_pixel(np.zeros(1), np.full(1, 90.0)))
        return 0 <= col - window.col <= window.width and 0 <= row - window.row <= window.height

    def footprint(self, window: Window) -> dict[str, Any]:
        """The outline of a window as a GeoJSON geometry, split at the antimeridian (RFC 7946, 3.1.9).

        Raises:
            NotGeoreferenced: as ``boundary``.
        """
        return to_geojson(self.boundary(window))

    def _steps(self, window: Window) -> int:
        """Number of straight pieces that keeps an edge within ``_MAX_EDGE_DEVIATION_PX``.

        The deviation is largest in the middle of an edge, and falls with the square of the number of pieces.
        """
        if self._in_degrees and self.affine:
            return 1
        left, top, right, bottom = window.col, window.row, window.col + window.width, window.row + window.height
        cols, rows = np.array([left, left, right, right, left], float), np.array([top, bottom, bottom, top, top], float)
        lon, lat = self.pixel_to_lonlat(cols, rows)
        chords = [(values[1:] + values[:-1]) / 2 for values in (np.unwrap(lon, period=360), lat)]
        if not all(np.isfinite(chord).all() for chord in chords):
            return _MAX_EDGE_STEPS
        middles = [(cols[1:] + cols[:-1]) / 2, (rows[1:] + rows[:-1]) / 2]
        deviation = float(np.hypot(*(np.array(self.lonlat_to_pixel(*chords)) - middles)).max())
        if not np.isfinite(deviation):
            return _MAX_EDGE_STEPS
        return min(_MAX_EDGE_STEPS, max(1, ceil(sqrt(deviation / _MAX_EDGE_DEVIATION_PX))))

    @cached_property
    def _in_degrees(self) -> bool:
        return bool(self.crs == WGS84 or self.crs.to_string() == "OGC:CRS84")

    @cached_property
    def _center_longitude(self) -> float:
        """A longitude in the middle of the image, in the range of its own coordinates."""
        if self.affine is not None:
            return float((self.affine @ (self.width / 2, self.height / 2))[0])
        return float(np.mean([point.x for point in self._unwrapped_gcps]))

    @cached_property
    def _unwrapped_gcps(self) -> tuple[Any, ...]:
        """The ground control points, with longitudes that have no jump at the antimeridian."""
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
        return GCPTransformer(self._unwrapped_gcps, tps=True)


@dataclass(frozen=True)
class ImageExtent:
    """The size of an image and its georeference."""

    width: int
    """Pixels in a row."""
    height: int
    """Pixels in a column."""
    georeference: Georeference | None
    """Georeference, or None if the image has none that can be used."""
    reason: str = ""
    """Reason in words if there is no georeference."""


@contextmanager
def _map_proj_errors() -> Iterator[None]:
    """Map errors of GDAL and PROJ to NotGeoreferenced."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        raise NotGeoreferenced("The georeference of the image is invalid: coordinates can't be transformed.") from error


def _keep_fractions(values: Any) -> Any:
    """rasterio's rowcol rounds to whole pixels unless an operation is passed."""
    return values
