"""How a measurement becomes the picture that a model sees: one step after the other, each a function of its own."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from sarlens.imagery.calibration import Calibrator, by_header, check_calibratable
from sarlens.imagery.radiometry import decibels, detect, looks_across, multilook
from sarlens.imagery.raster import Picture, Quantity, Raster
from sarlens.imagery.speckle import despeckle
from sarlens.imagery.stretch import composite, stretch
from sarlens.request import Looks, Render

_FAST = 1


def develop(raster: Raster, render: Render, size: int, calibrator: Calibrator | None = None) -> Picture:
    """Render a raster as a PNG of 8 bits, grey where it has one band.

    A measurement is detected, averaged over looks to about twice the size of the picture, calibrated where ``render``
    asks for it, filtered for speckle, put in decibels and stretched; what is a picture already is only reduced.
    ``size`` is the longest side in pixels where ``render`` names none; nothing is enlarged. ``calibrator`` comes
    before what the file's own header says. Equal arguments give equal bytes.

    Raises:
        NothingMeasured: no pixel of a measurement was measured.
        CalibrationMissing: it cannot be calibrated as ``render`` asks.
    """
    side = render.size or size
    if render.calibration != "none":
        calibrator = calibrator or by_header(raster, render.calibration)
        check_calibratable(raster)
    if raster.quantity is Quantity.PICTURE:
        return encode(reduce(composite(raster), side))
    looks = looks_across(raster.shape, side)
    power = multilook(detect(raster), Looks(looks, looks))
    if calibrator is not None:
        power = calibrator.calibrate(power)
    calm = despeckle(power, render.speckle_filter)
    picture = stretch(composite(decibels(calm)), render.stretch)
    return encode(reduce(picture, side))


def reduce(picture: Raster, side: int) -> Image.Image:
    """A PICTURE of one band as grey or of three as RGB, at most ``side`` pixels long; what was not measured is black.

    Each pixel is the mean of what it covers under a Hamming window: unlike Lanczos it has no negative lobes, which
    draw dark rings around ships, and unlike a box it treats all pixels alike. Unmeasured pixels have no weight in it.
    """
    bands = [Image.fromarray(band) for band in picture.pixels]
    mode = "L" if len(bands) == 1 else "RGB"
    whole = bool(picture.valid.all())
    if not whole:
        bands.append(Image.fromarray(picture.valid.astype(np.uint8) * np.uint8(255)))
    image = Image.merge({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(bands)], bands)
    longest = max(image.size)
    if longest > side:
        width, height = (max(1, round(length * side / longest)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.HAMMING)
    if not whole:
        measured = image.getchannel("A").point(lambda share: 255 if share >= 128 else 0)
        image = Image.composite(image.convert(mode), Image.new(mode, image.size), measured)
    return image


def encode(image: Image.Image) -> Picture:
    """A picture as PNG, packed fast rather than small."""
    held = io.BytesIO()
    image.save(held, "PNG", compress_level=_FAST)
    return Picture(held.getvalue(), "image/png", image.width, image.height)
