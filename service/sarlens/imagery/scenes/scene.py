"""A scene: an image with its header, and its place in the tile matrix sets of maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log2

import numpy as np

from sarlens.errors import NotFound, NotGeoreferenced
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.image_header import ImageHeader
from sarlens.imagery.formats.reader import read_header
from sarlens.imagery.geo.georeference import Georeference
from sarlens.imagery.scenes.placement import Placement, place_on_map, place_on_pixels
from sarlens.imagery.scenes.scene_position import ScenePosition, locate
from sarlens.imagery.scenes.tile_matrix_set import MAP_SETS, PIXELS, TILE_SIDE, map_matrix_set, pixel_matrix_set

_ZOOM_TOLERANCE = 1.05
"""Pixels of the image in a pixel of the highest zoom level, at most."""


@dataclass(frozen=True)
class Scene:
    """An image with its header. Build it once for a version of the image: placements are computed once."""

    header: ImageHeader
    """Header of the georeferencing file."""
    max_pixels: int
    """Maximum number of pixels that are decoded for one tile."""

    @cached_property
    def position(self) -> ScenePosition | None:
        """Position on the ground; None without a georeference."""
        georeference = self.header.georeference
        return None if georeference is None else locate(georeference)

    @cached_property
    def placements(self) -> dict[str, Placement]:
        """Placement of the scene by the id of each tile matrix set that fits it."""
        placed = {}
        georeference = self.header.georeference
        for name in MAP_SETS if georeference is not None else ():
            try:
                placement = place_on_map(map_matrix_set(name), georeference) if georeference else None
            except NotGeoreferenced:
                placement = None
            if placement is not None:
                placed[name] = placement
        size = self.header.width, self.header.height
        return {**placed, PIXELS: place_on_pixels(pixel_matrix_set(*size), *size)}

    def placement(self, tms_id: str) -> Placement:
        """Return the placement in a tile matrix set.

        Raises:
            NotGeoreferenced: the scene isn't georeferenced.
            NotFound: the tile matrix set doesn't exist, or doesn't cover the scene.
        """
        if tms_id in self.placements:
            return self.placements[tms_id]
        map_matrix_set(tms_id)
        self._require_georeference(f'Use the tile matrix set "{PIXELS}".')
        raise NotFound(f"{tms_id} doesn't cover the image. Use one of {', '.join(self.placements)}.")

    def locate(self, lon: float, lat: float) -> tuple[float, float]:
        """Return the column and the row of a position on the ground, also outside the image. Blocks.

        Raises:
            NotGeoreferenced: the image isn't georeferenced, or the position has no place in it.
        """
        georeference = self._require_georeference('Use "x" and "y" in pixels instead.')
        cols, rows = georeference.lonlat_to_pixel(np.array([lon]), np.array([lat]))
        if not (np.isfinite(cols[0]) and np.isfinite(rows[0])):
            raise NotGeoreferenced("The position is beyond the area that the image's coordinates cover.")
        return float(cols[0]), float(rows[0])

    def position_of(self, col: float, row: float) -> tuple[float, float] | None:
        """Return longitude and latitude of a position in the image; None without a georeference. Blocks."""
        if self.header.georeference is None:
            return None
        lon, lat = self.header.georeference.pixel_to_lonlat(np.array([col]), np.array([row]))
        return float(lon[0]), float(lat[0])

    def _require_georeference(self, advice: str) -> Georeference:
        if self.header.georeference is None:
            raise NotGeoreferenced(f"{self.header.reason} {advice}")
        return self.header.georeference

    def zooms(self, placement: Placement) -> tuple[int, int]:
        """Return the zoom level at which a tile covers the scene, and the one that has its full resolution.

        Without overviews, the first is a level at which a tile needs no more than ``max_pixels``.
        """
        tms = placement.tms
        finest = max(placement.pixels_per_unit) * tms.cell_size / _ZOOM_TOLERANCE
        max_zoom = min(tms.max_zoom, max(0, ceil(log2(finest))))
        extent = max(max(abs(box.right - box.left), abs(box.bottom - box.top)) for box in placement.boxes)
        whole = floor(log2(tms.cell_size * TILE_SIDE / extent))
        coarsest = self.header.levels[-1]
        factor = min(self.header.width / coarsest.width, self.header.height / coarsest.height)
        per_pixel = placement.pixels_per_unit[0] * placement.pixels_per_unit[1] * tms.cell_size**2
        tile_pixels = min(2 * TILE_SIDE**2 * per_pixel / factor**2, coarsest.width * coarsest.height)
        is_bounded = self.header.has_sparse_rows or coarsest.width * coarsest.height <= self.max_pixels
        readable = 0 if is_bounded else ceil(log2(tile_pixels / self.max_pixels) / 2)
        return min(max(0, whole, readable), max_zoom), max_zoom


def read_scene(source_image: SourceImage, limits: DecodeLimits, nodata: float | None = None) -> Scene:
    """Read the header of a scene, and place it. Blocks.

    Raises:
        SarlensError: as ``read_header``.
    """
    scene = Scene(read_header(source_image.georeferencing_file, limits, nodata), limits.window_pixels)
    _ = scene.placements, scene.position
    return scene
