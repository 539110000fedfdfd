"""A quick-look: the power of a whole scene without overviews, kept in memory for its low zoom levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sarlens.imagery.core.radiometry import multilook
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats.image_header import Level
from sarlens.imagery.render.speckle import Speckle, estimate_speckle
from sarlens.types.window import Looks, Window

_MAX_ENLARGEMENT = 1.3
"""Pixels of a tile in a pixel of the quick-look, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Quicklook:
    """Power of a scene, averaged over looks."""

    power: Raster
    """Detected and calibrated power of the whole scene."""
    looks: Looks
    """Pixels of the scene that are averaged."""

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.power.pixels.nbytes + self.power.valid.nbytes

    @property
    def level(self) -> Level:
        """The quick-look as a resolution of the scene."""
        rows, cols = self.power.shape
        return Level(None, cols, rows)

    def looks_for(self, level: Level, looks: Looks) -> Looks | None:
        """Return the looks of the quick-look that replace those of the full resolution; None if it is too coarse."""
        across, down = looks.across / self.looks.across, looks.down / self.looks.down
        if level.overview is not None or min(across, down) * _MAX_ENLARGEMENT < 1:
            return None
        return Looks(max(1, round(across)), max(1, round(down)))

    def read(self, window: Window, looks: Looks) -> Raster:
        """Return a window of the quick-look, averaged over looks."""
        rows, cols = slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)
        part = replace(self.power, pixels=self.power.pixels[:, rows, cols], valid=self.power.valid[rows, cols])
        return multilook(part, looks)

    def speckle(self, looks: Looks) -> tuple[Speckle, ...]:
        """Estimate the speckle of the quick-look, averaged over looks."""
        return estimate_speckle(multilook(self.power, looks))
