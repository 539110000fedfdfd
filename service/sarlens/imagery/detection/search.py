"""Search for targets in the tiles of an image."""

from __future__ import annotations

from typing import NamedTuple

from sarlens.imagery.core.radiometry import detect
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.detection.cfar import detect_targets
from sarlens.imagery.detection.targets import Target
from sarlens.types.cfar_params import CfarParams
from sarlens.types.window import Window

_EDGE_PX = 2
"""Distance in pixels from an edge within which a target touches it."""


class TargetSearch(NamedTuple):
    """What to search for in the tiles of an image of ``width`` x ``height`` pixels."""

    params: CfarParams
    width: int
    height: int
    skip_empty: bool = False
    """Whether tiles without targets aren't rendered."""

    def window(self, tile: Window) -> Window:
        """Return the pixels that the detector needs for a tile: the tile and a margin inside the image."""
        margin = self.params.margin
        left, top = max(0, tile.col - margin), max(0, tile.row - margin)
        right = min(self.width, tile.col + tile.width + margin)
        bottom = min(self.height, tile.row + tile.height + margin)
        return Window(left, top, right - left, bottom - top)

    def targets(self, raster: Raster, tile: Window) -> list[Target] | None:
        """Return the targets that touch a tile, in pixels of the image.

        The detector compares pixels with their neighbors, so calibration doesn't change its result.

        Args:
            raster: pixels of ``window(tile)``, possibly averaged over looks or read from an overview.
            tile: the tile.

        Returns:
            None if the pixels are 8-bit brightness, which has no power, or if none is valid.
        """
        if raster.quantity is Quantity.BRIGHTNESS or not raster.valid.any():
            return None
        window = raster.window
        rows, cols = raster.shape
        found = detect_targets(detect(raster), self.params)
        placed = [target.shifted(window.col, window.row, window.width / cols, window.height / rows) for target in found]
        return [target._replace(is_cut=self._is_cut(target, window)) for target in placed if _touches(target, tile)]

    def _is_cut(self, target: Target, window: Window) -> bool:
        """Whether a target touches an edge of the pixels that isn't one of the image."""
        right, bottom = window.col + window.width, window.row + window.height
        across = (0 < window.col >= target.left - _EDGE_PX) or (self.width > right <= target.right + _EDGE_PX)
        return across or (0 < window.row >= target.top - _EDGE_PX) or (self.height > bottom <= target.bottom + _EDGE_PX)


def _touches(target: Target, tile: Window) -> bool:
    across = target.left < tile.col + tile.width and target.right > tile.col
    return across and target.top < tile.row + tile.height and target.bottom > tile.row
