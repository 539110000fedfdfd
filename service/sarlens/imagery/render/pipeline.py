"""Rendering of a measurement as the image that a model sees: a sequence of steps, each a function of a raster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from sarlens.imagery.calibration.models import Calibrator, calibration_from_header, check_calibratable
from sarlens.imagery.core.radiometry import detect, looks_for_size, multilook, to_db
from sarlens.imagery.core.raster import Quantity, Raster, RenderedImage
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.imagery.render.png import encode_png
from sarlens.imagery.render.speckle import despeckle
from sarlens.imagery.render.stretch import composite, stretch
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks

_MIN_VALID_ALPHA = 128
"""Alpha of a reduced pixel that is at least half valid."""


def render(
    raster: Raster, params: RenderParams, size: int, calibrator: Calibrator | None = None, turn: Turn = NO_TURN
) -> RenderedImage:
    """Render a raster as an 8-bit PNG, in grayscale if it has one band. Equal arguments give equal pixels.

    A measurement is detected and averaged over looks to about twice the size of the rendered image. It is then
    calibrated if ``params`` requires it, filtered for speckle, converted to decibels and stretched. An 8-bit image is
    only resized.

    Args:
        raster: Pixels of the window.
        params: Calibration, filter, stretch and size.
        size: Longest side of the rendered image in pixels, if ``params`` has no size. A smaller image is enlarged to it
            by ``params.enlarge`` times at most.
        calibrator: Calibration that takes precedence over the file's header.
        turn: Turn of the rendered image.

    Raises:
        NoValidPixels: The raster has no valid pixel.
        CalibrationMissing: The raster can't be calibrated to the coefficient that ``params`` names.
    """
    rendered = _render_pixels(raster, params, params.size or size, calibrator, turn)
    return replace(rendered, window=raster.window, turn=turn)


def _render_pixels(
    raster: Raster, params: RenderParams, side: int, calibrator: Calibrator | None, turn: Turn
) -> RenderedImage:
    if params.calibration != "none":
        calibrator = calibrator or calibration_from_header(raster, params.calibration)
        check_calibratable(raster)
    if raster.quantity is Quantity.BRIGHTNESS:
        return encode_png(resize(_turned(composite(raster), turn), side, params.enlarge))
    looks = looks_for_size(raster.shape, side)
    power = multilook(detect(raster), Looks(looks, looks))
    if calibrator is not None:
        power = calibrator.calibrate(power)
    filtered = despeckle(power, params.speckle_filter)
    brightness = stretch(composite(to_db(filtered)), params.stretch)
    return encode_png(resize(_turned(brightness, turn), side, params.enlarge))


def _turned(raster: Raster, turn: Turn) -> Raster:
    if turn == NO_TURN:
        return raster
    return replace(raster, pixels=turn.apply(raster.pixels), valid=turn.apply(raster.valid))


def resize(raster: Raster, side: int, enlarge: int = 1) -> Image.Image:
    """Reduce an 8-bit raster of one band (grayscale) or three (RGB) to at most ``side`` pixels on its longest side.

    A smaller one is enlarged to ``side`` pixels, but at most ``enlarge`` times. Each pixel is a weighted mean under a
    Hamming window. Unlike Lanczos, the window has no negative lobes, which draw dark rings around ships. Invalid pixels
    have no weight. A pixel that is more than half invalid is black.
    """
    bands = [Image.fromarray(band) for band in raster.pixels]
    mode = "L" if len(bands) == 1 else "RGB"
    all_valid = bool(raster.valid.all())
    if not all_valid:
        bands.append(Image.fromarray(raster.valid.astype(np.uint8) * np.uint8(255)))
    image = Image.merge({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(bands)], bands)
    longest = max(image.size)
    factor = min(side / longest, enlarge)
    if factor != 1:
        width, height = (max(1, round(length * factor)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.HAMMING)
    if not all_valid:
        valid = image.getchannel("A").point(lambda alpha: 255 if alpha >= _MIN_VALID_ALPHA else 0)
        image = Image.composite(image.convert(mode), Image.new(mode, image.size), valid)
    return image
