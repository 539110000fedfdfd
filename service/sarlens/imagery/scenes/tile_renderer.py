"""Tiles of a scene: read the pixels that a tile shows, render them as the scene looks, and warp them to the tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil, floor
from typing import TypeAlias

import numpy as np
from PIL import Image

from sarlens.imagery.calibration.models import Calibrator
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.radiometry import to_db
from sarlens.imagery.core.raster import Raster, RenderedImage
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.image_header import ImageHeader, Level
from sarlens.imagery.formats.reader import read_level
from sarlens.imagery.render.png import encode_png
from sarlens.imagery.render.speckle import Speckle, despeckle
from sarlens.imagery.render.stretch import apply_limits, composite
from sarlens.imagery.scenes.appearance import Appearance, to_levels, to_power
from sarlens.imagery.scenes.mesh import Mesh, tile_meshes
from sarlens.imagery.scenes.placement import Placement
from sarlens.imagery.scenes.resolution import choose_resolution
from sarlens.imagery.scenes.tile_matrix_set import TILE_SIDE, TileIndex
from sarlens.types.window import Looks, Window

_MARGIN = 8
"""Pixels around a tile that the filter and the search for fill read."""
_MIN_OPAQUE_ALPHA = 128

GetSpeckle: TypeAlias = Callable[[Level, Looks], tuple[Speckle, ...]]
"""Returns the statistics of a resolution."""


@dataclass(frozen=True, slots=True)
class TileSource:
    """An opened scene, with what all its tiles have in common."""

    source_image: SourceImage
    """The image."""
    header: ImageHeader
    """Its header."""
    appearance: Appearance
    """Quantity and stretch."""
    calibrator: Calibrator | None
    """Calibration that takes precedence over the file's header."""
    get_speckle: GetSpeckle
    """Statistics for the filter."""
    limits: DecodeLimits
    """Limits of what is decoded."""


def render_tile(source: TileSource, placement: Placement, tile: TileIndex) -> RenderedImage:
    """Render one tile as PNG with transparency where the scene has no valid pixel. Blocks.

    The resolution depends on the zoom level alone, and averages begin at multiples of their looks. So the pixels of a
    scene look the same in all tiles that show them.

    Raises:
        BadRequest: the tile matrix set has no such tile.
        SarlensError: the image can't be read.
    """
    target: Image.Image | None = None
    for mesh in tile_meshes(placement, tile):
        part = _render_part(source, placement, tile.zoom, mesh)
        if part is not None:
            target = part if target is None else Image.alpha_composite(target.convert("RGBA"), part.convert("RGBA"))
    return empty_tile() if target is None else encode_png(target)


@cache
def empty_tile() -> RenderedImage:
    """Return the tile without a valid pixel."""
    return encode_png(Image.new("LA", (TILE_SIDE, TILE_SIDE)))


def _render_part(source: TileSource, placement: Placement, zoom: int, mesh: Mesh) -> Image.Image | None:
    unit = placement.tms.resolution(zoom)
    across, down = (per_unit * unit for per_unit in placement.pixels_per_unit)
    level, looks = choose_resolution(source.header, across, down)
    factors = level.width / source.header.width, level.height / source.header.height
    quicklook = source.appearance.quicklook
    reduced = quicklook.looks_for(level, looks) if quicklook else None
    if quicklook and reduced:
        level, looks, factors = quicklook.level, reduced, (1 / quicklook.looks.across, 1 / quicklook.looks.down)
    cols, rows = mesh.cols * factors[0] / looks.across, mesh.rows * factors[1] / looks.down
    window = _window(cols, rows, level, looks)
    if window is None:
        return None
    if quicklook and reduced:
        brightness = _show(source, quicklook.read(window, looks), lambda: quicklook.speckle(looks))
    else:
        raster = read_level(source.source_image, source.appearance.params, level, window, looks, source.limits)
        brightness = _to_brightness(source, raster, level, window, looks)
    if not brightness.valid.any():
        return None
    image = _to_image(brightness)
    origin = window.col / looks.across, window.row / looks.down
    return _warp(image, mesh, cols - origin[0], rows - origin[1])


def _window(cols: np.ndarray, rows: np.ndarray, level: Level, looks: Looks) -> Window | None:
    """Return the pixels of a level that nodes surround, with a margin; None if they are outside.

    Args:
        cols: Columns of the nodes in averaged pixels.
        rows: Rows of the nodes in averaged pixels.
        level: The level.
        looks: Pixels of the level in an averaged pixel.
    """
    spans = []
    for values, length, look in ((cols, level.width, looks.across), (rows, level.height, looks.down)):
        known = values[np.isfinite(values)]
        if not known.size or known.max() <= 0 or known.min() >= length / look:
            return None
        first = max(0, floor(float(known.min())) - _MARGIN) * look
        last = min(length, (ceil(float(known.max())) + _MARGIN) * look)
        spans.append((first, last - first))
    (col, width), (row, height) = spans
    return Window(col, row, width, height)


def _to_brightness(source: TileSource, raster: Raster, level: Level, window: Window, looks: Looks) -> Raster:
    """Render a raster as the whole scene looks; of the same shape, or averaged over looks."""
    if source.appearance.is_brightness:
        return composite(to_levels(raster, window, looks))
    power = to_power(raster, source.appearance.params, looks, source.calibrator)
    return _show(source, power, lambda: source.get_speckle(level, looks))


def _show(source: TileSource, power: Raster, get_speckle: Callable[[], tuple[Speckle, ...]]) -> Raster:
    """Filter, convert and stretch power as for the whole scene."""
    filter_name = source.appearance.params.speckle_filter
    speckle = get_speckle() if filter_name != "none" and power.valid.any() else None
    return apply_limits(composite(to_db(despeckle(power, filter_name, speckle))), source.appearance.limits)


def _to_image(brightness: Raster) -> Image.Image:
    bands = [Image.fromarray(np.ascontiguousarray(band)) for band in brightness.pixels]
    alpha = Image.fromarray(brightness.valid.astype(np.uint8) * np.uint8(255))
    return Image.merge("LA" if len(bands) == 1 else "RGBA", [*bands, alpha])


def _warp(image: Image.Image, mesh: Mesh, cols: np.ndarray, rows: np.ndarray) -> Image.Image:
    """Resample an image bilinearly to a tile; a pixel that is more than half invalid is transparent."""
    cells = []
    for row, (top, bottom) in enumerate(zip(mesh.ys, mesh.ys[1:], strict=False)):
        for col, (left, right) in enumerate(zip(mesh.xs, mesh.xs[1:], strict=False)):
            corners = [(row, col), (row + 1, col), (row + 1, col + 1), (row, col + 1)]
            quad = [float(value) for corner in corners for value in (cols[corner], rows[corner])]
            if np.isfinite(quad).all():
                cells.append(((int(left), int(top), int(right), int(bottom)), tuple(quad)))
    tile = image.transform((TILE_SIDE, TILE_SIDE), Image.Transform.MESH, cells, Image.Resampling.BILINEAR)
    alpha = tile.getchannel("A").point(lambda value: 255 if value >= _MIN_OPAQUE_ALPHA else 0)
    return Image.merge(tile.mode, [*tile.split()[:-1], alpha])
