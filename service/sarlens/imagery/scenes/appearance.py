"""How a whole scene looks: one quantity, one stretch and one filter, so that neighboring tiles have no seam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from sarlens.errors import PayloadTooLarge
from sarlens.imagery.calibration.models import Calibrator, calibration_from_header, check_calibratable
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.radiometry import detect, multilook, to_db
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.image_header import ImageHeader, Level
from sarlens.imagery.formats.reader import read_level
from sarlens.imagery.render.speckle import Speckle, despeckle, estimate_speckle
from sarlens.imagery.render.stretch import Limits, composite, stretch_limits
from sarlens.imagery.scenes.quicklook import Quicklook
from sarlens.imagery.scenes.resolution import Resolution, level_window, resolution_for_side
from sarlens.imagery.scenes.scene import Scene
from sarlens.types.render_params import RenderParams, Scale
from sarlens.types.window import Looks, Window

_SAMPLE_SIDE = 448
"""Longest side of the picture of the whole scene whose percentiles define the stretch."""
_WINDOWS_PER_SIDE, _WINDOW_SIDE = 4, 256
"""Windows that are measured instead if all of the scene is too much to read."""
_ENTRY_BYTES = 2048
_SPECKLE_SIDE = 256
"""Side of the window in the middle of the scene whose speckle defines the filter, in pixels of a resolution."""

_SCALES: dict[Quantity, Scale] = {Quantity.DECIBEL: "db", Quantity.BRIGHTNESS: "auto"}


@dataclass(frozen=True, slots=True)
class Appearance:
    """Quantity and stretch of a scene."""

    params: RenderParams
    """Render parameters whose scale is that of the whole scene."""
    is_brightness: bool
    """Whether the scene is an 8-bit image, which is shown as it is."""
    limits: tuple[Limits, ...] = ()
    """Black and white of each band of the composite; empty for an 8-bit image."""
    quicklook: Quicklook | None = None
    """The whole scene at low resolution, if it has no overviews."""

    @property
    def nbytes(self) -> int:
        """Size in memory, about."""
        return _ENTRY_BYTES + (self.quicklook.nbytes if self.quicklook else 0)


def measure_appearance(
    source_image: SourceImage, scene: Scene, params: RenderParams, calibrator: Calibrator | None, limits: DecodeLimits
) -> Appearance:
    """Measure a picture of the whole scene of about twice ``_SAMPLE_SIDE`` pixels. Blocks.

    Args:
        source_image: The image.
        scene: Its header.
        params: Render parameters without a window.
        calibrator: Calibration that takes precedence over the file's header.
        limits: Limits of what is decoded.

    Raises:
        NoValidPixels: The scene has no valid pixel.
        SarlensError: As ``read_level``.
    """
    header = scene.header
    whole = Window(0, 0, header.width, header.height)
    resolution = resolution_for_side(header, whole, 2 * _SAMPLE_SIDE)
    windows = [level_window(header, resolution, whole)]
    try:
        rasters = _read_all(source_image, params, resolution, windows, limits)
    except PayloadTooLarge:  # a large image in tiles, without overviews
        resolution, windows = Resolution(header.levels[0], Looks(1, 1)), list(_sample_windows(header))
        rasters = _read_all(source_image, params, resolution, windows, limits)
    raster = next((raster for raster in rasters if raster.valid.any()), rasters[0])
    params = params.model_copy(update={"scale": _SCALES.get(origin(raster), "linear")})
    if raster.quantity is Quantity.BRIGHTNESS:
        check_calibration(raster, params)
        return Appearance(params, is_brightness=True)
    scaled = rasters if len(rasters) == 1 else _read_all(source_image, params, resolution, windows, limits)
    powers = [to_power(raster, params, resolution.looks, calibrator) for raster in scaled if raster.valid.any()]
    levels = [composite(to_db(despeckle(power, params.speckle_filter))) for power in powers]
    stretched = stretch_limits(_join(levels or rasters), params.stretch)
    is_reduced = len(rasters) == 1 and resolution.level.overview is None and resolution.looks != (1, 1)
    quicklook = Quicklook(powers[0], resolution.looks) if is_reduced else None
    return Appearance(params, is_brightness=False, limits=stretched, quicklook=quicklook)


def _read_all(
    source_image: SourceImage,
    params: RenderParams,
    resolution: Resolution,
    windows: Sequence[Window],
    limits: DecodeLimits,
) -> list[Raster]:
    return [read_level(source_image, params, resolution.level, window, resolution.looks, limits) for window in windows]


def _sample_windows(header: ImageHeader) -> Iterator[Window]:
    """Yield windows of the full resolution, evenly over the image."""
    width, height = min(header.width, _WINDOW_SIDE), min(header.height, _WINDOW_SIDE)
    last = _WINDOWS_PER_SIDE - 1
    for row in range(_WINDOWS_PER_SIDE):
        for col in range(_WINDOWS_PER_SIDE):
            yield Window((header.width - width) * col // last, (header.height - height) * row // last, width, height)


def _join(rasters: Sequence[Raster]) -> Raster:
    """Return the pixels of rasters of the same bands as one raster."""
    if len(rasters) == 1:
        return rasters[0]
    pixels = np.concatenate([raster.pixels.reshape(len(raster.bands), 1, -1) for raster in rasters], axis=2)
    valid = np.concatenate([raster.valid.reshape(1, -1) for raster in rasters], axis=1)
    return replace(rasters[0], pixels=pixels, valid=valid)


def measure_speckle(
    source_image: SourceImage,
    params: RenderParams,
    level: Level,
    looks: Looks,
    calibrator: Calibrator | None,
    limits: DecodeLimits,
) -> tuple[Speckle, ...]:
    """Estimate the speckle of a resolution in the middle of the scene. Blocks.

    Raises:
        SarlensError: As ``read_level``.
    """
    window = _middle(level, looks)
    raster = read_level(source_image, params, level, window, looks, limits)
    return estimate_speckle(to_power(raster, params, looks, calibrator))


def origin(raster: Raster) -> Quantity:
    """Return the quantity of the stored numbers."""
    return raster.quantity_before_detection or raster.quantity


def to_power(raster: Raster, params: RenderParams, looks: Looks, calibrator: Calibrator | None) -> Raster:
    """Detect power, average it over looks unless the reader has, and calibrate it.

    Raises:
        CalibrationMissing: The raster can't be calibrated to the coefficient that ``params`` names.
    """
    calibrator = check_calibration(raster, params, calibrator)
    averaged = raster.quantity_before_detection is not None
    power = raster if averaged else multilook(detect(raster), looks)
    return power if calibrator is None else calibrator.calibrate(power)


def to_levels(raster: Raster, window: Window, looks: Looks) -> Raster:
    """Average BRIGHTNESS over looks along each axis, unless the reader has.

    Args:
        raster: The raster.
        window: The window that was read, in pixels of the level.
        looks: Pixels of the level that are averaged.
    """
    rows, cols = ceil(window.height / looks.down), ceil(window.width / looks.across)
    return multilook(
        raster,
        Looks(1 if raster.shape[1] == cols else looks.across, 1 if raster.shape[0] == rows else looks.down),
    )


def check_calibration(raster: Raster, params: RenderParams, calibrator: Calibrator | None = None) -> Calibrator | None:
    """Return the calibration that ``params`` requires, or None if it requires none.

    Raises:
        CalibrationMissing: The raster can't be calibrated to the coefficient that ``params`` names.
    """
    if params.calibration == "none":
        return None
    calibrator = calibrator or calibration_from_header(raster, params.calibration)
    check_calibratable(raster)
    return calibrator


def _middle(level: Level, looks: Looks) -> Window:
    """Return a window in the middle of a level that begins at whole looks."""
    cols, rows = (
        min(length, _SPECKLE_SIDE * look) for length, look in ((level.width, looks.across), (level.height, looks.down))
    )
    col = (level.width - cols) // 2 // looks.across * looks.across
    row = (level.height - rows) // 2 // looks.down * looks.down
    return Window(col, row, cols, rows)
