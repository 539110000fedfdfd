"""Annotation files in memory, and power to calibrate."""

from __future__ import annotations

import numpy as np

from sarlens.imagery.calibration.models import Sentinel1Calibration
from sarlens.imagery.calibration.sentinel1 import read_calibration_luts
from sarlens.imagery.core.object_reader import InMemoryObject, content_version
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.core.source_image import Annotation, NoiseAnnotation
from sarlens.types.render_params import Calibration
from sarlens.types.window import Window
from support.sentinel1_safe import product_annotation


def annotation_files(calibration: bytes, noise: bytes, product: bytes | None = None) -> Annotation:
    """Return the annotation of a measurement; by default, its product annotation says that the noise is in it."""
    files = (calibration, noise, product_annotation() if product is None else product)
    gain, *about_noise = (InMemoryObject("s3://scenes/x.xml", content_version(data), data) for data in files)
    return Annotation(gain, NoiseAnnotation(*about_noise))


def luts(
    calibration: bytes, noise: bytes, coefficient: Calibration = "sigma0", product: bytes | None = None
) -> Sentinel1Calibration:
    """Return the tables of calibration and noise annotation."""
    return read_calibration_luts(annotation_files(calibration, noise, product), coefficient)


def power_of(window: Window, shape: tuple[int, int] | None = None, power: float | None = None) -> Raster:
    """Return power in squared digital numbers: a constant, or speckle that is partly below the noise."""
    shape = shape or (window.height, window.width)
    if power is None:
        pixels = np.random.default_rng(1).exponential(40_000, (1, *shape)).astype(np.float32)
    else:
        pixels = np.full((1, *shape), power, dtype=np.float32)
    return Raster(pixels, np.ones(shape, dtype=bool), ("VV",), Quantity.INTENSITY, window)
