"""Measurements of a scene: statistics of a window, and the values of one pixel. No speckle filter is applied."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.calibration.models import Calibrator
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import Quantity, Raster, resolve_window
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.image_header import ImageHeader
from sarlens.imagery.formats.reader import read_level
from sarlens.imagery.scenes.appearance import check_calibration, to_levels, to_power
from sarlens.imagery.scenes.resolution import Resolution, level_window, resolution_for_side
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window

PERCENTILES = (2, 25, 50, 75, 98)
_MAX_SIDE = 2048
"""Longest side of the raster that statistics measure, in pixels."""
_NEIGHBORHOOD = 9
"""Pixels around one that decide whether its zero is fill."""


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """An opened image that is measured."""

    source_image: SourceImage
    """The image."""
    header: ImageHeader
    """Its header."""
    params: RenderParams
    """Bands and calibration, with the scale of the whole scene."""
    calibrator: Calibrator | None
    """Calibration that takes precedence over the file's header."""
    limits: DecodeLimits
    """Limits of what is decoded."""


def measure_window(image: MeasuredImage, window: tuple[int, int, int, int] | None) -> dict[str, Any]:
    """Return statistics of each band in a window; None is the whole image. Blocks.

    ``linear`` is power, or the backscatter coefficient if ``params`` calibrates; ``db`` are its decibels. The mean in
    decibels is that of the mean power. An 8-bit image has ``levels`` instead. ``reduction`` is the number of pixels of
    the image along a side of each averaged pixel.

    Raises:
        WindowOutOfBounds: the window isn't inside the image.
        SarlensError: the image can't be read or calibrated.
    """
    header = image.header
    found = resolve_window(header.width, header.height, window)
    resolution = resolution_for_side(header, found, _MAX_SIDE)
    raster = _read(image, resolution, level_window(header, resolution, found))
    valid = raster.valid
    return {
        "window": list(found),
        "reduction": round(header.width / resolution.level.width * resolution.looks.across, 3),
        "bands": [
            {"name": name, "valid_ratio": float(valid.mean()), **_statistics(plane[valid], raster.quantity)}
            for name, plane in zip(raster.bands, raster.pixels, strict=True)
        ],
    }


def measure_pixel(image: MeasuredImage, col: int, row: int) -> list[dict[str, Any]]:
    """Return the value of each band at a pixel of the full resolution. Blocks.

    Raises:
        WindowOutOfBounds: the pixel isn't inside the image.
        SarlensError: the image can't be read or calibrated.
    """
    header = image.header
    resolve_window(header.width, header.height, (col, row, 1, 1))
    left, top = max(0, col - _NEIGHBORHOOD), max(0, row - _NEIGHBORHOOD)
    right, bottom = min(header.width, col + _NEIGHBORHOOD + 1), min(header.height, row + _NEIGHBORHOOD + 1)
    window = Window(left, top, right - left, bottom - top)
    raster = _read(image, Resolution(header.levels[0], Looks(1, 1)), window)
    at_row, at_col = row - top, col - left
    valid = bool(raster.valid[at_row, at_col])
    return [
        {"name": name, "valid": valid, **_value(float(plane[at_row, at_col]) if valid else None, raster.quantity)}
        for name, plane in zip(raster.bands, raster.pixels, strict=True)
    ]


def _read(image: MeasuredImage, resolution: Resolution, window: Window) -> Raster:
    """Read power, calibrated if the parameters say so, or the levels of an 8-bit image."""
    raster = read_level(image.source_image, image.params, resolution.level, window, resolution.looks, image.limits)
    if raster.quantity is Quantity.BRIGHTNESS:
        check_calibration(raster, image.params)
        return to_levels(raster, window, resolution.looks)
    return to_power(raster, image.params, resolution.looks, image.calibrator)


def _statistics(values: NDArray[Any], quantity: Quantity) -> dict[str, Any]:
    names = ("levels",) if quantity is Quantity.BRIGHTNESS else ("linear", "db")
    if not values.size:
        return dict.fromkeys(names)
    percentiles = dict(zip(map(str, PERCENTILES), np.percentile(values, PERCENTILES).tolist(), strict=True))
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    linear = {"min": float(values.min()), "max": float(values.max()), "mean": mean, "percentiles": percentiles}
    if quantity is Quantity.BRIGHTNESS:
        return {"levels": {**linear, "std": deviation}}
    in_db = {name: _db(linear[name]) for name in ("min", "max", "mean")}
    db = {**in_db, "percentiles": {name: _db(value) for name, value in percentiles.items()}}
    return {"linear": {**linear, "std": deviation}, "db": db}


def _value(value: float | None, quantity: Quantity) -> dict[str, Any]:
    if quantity is Quantity.BRIGHTNESS:
        return {"level": value}
    return {"linear": value, "db": _db(value)}


def _db(power: Any) -> float | None:
    """Return ten times the decimal logarithm, or None without power."""
    return 10 * log10(power) if power is not None and power > 0 else None
