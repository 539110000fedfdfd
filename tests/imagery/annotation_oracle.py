"""Tables of Sentinel-1 annotation by SciPy, from numbers taken from the XML without a parser."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from sarlens.request import Calibration

GAINS: dict[Calibration, str] = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma"}


def numbers(text: str, name: str) -> list[list[float]]:
    """All lists of numbers of that name in XML, read without a parser."""
    return [
        [float(each) for each in found.split()] for found in re.findall(rf"<{name}(?: [^>]*)?>([^<]*)</{name}>", text)
    ]


def gridded(text: str, vectors: str, field: str, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[Any]:
    """A table of the XML at rows and columns, by SciPy; the table has to be a regular grid."""
    part = text[text.index(f"<{vectors}") : text.index(f"</{vectors}>")]
    lines = [line[0] for line in numbers(part, "line")]
    pixels = numbers(part, "pixel")
    assert all(each == pixels[0] for each in pixels)
    table = RegularGridInterpolator((lines, pixels[0]), np.array(numbers(part, field)))
    grid = np.meshgrid(np.clip(rows, None, lines[-1]), np.clip(cols, None, pixels[0][-1]), indexing="ij")
    found: NDArray[Any] = table(np.stack(grid, axis=-1))
    return found


def noise_by_scipy(text: str, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[Any]:
    """Thermal noise of either kind of annotation, pixel by pixel along azimuth."""
    if "<noiseVectorList" in text:
        return gridded(text, "noiseVectorList", "noiseLut", rows, cols)
    noise = gridded(text, "noiseRangeVectorList", "noiseRangeLut", rows, cols)
    for vector in re.findall(r"<noiseAzimuthVector>.*?</noiseAzimuthVector>", text, re.DOTALL):
        first, last, left, right = (
            numbers(vector, name)[0][0]
            for name in ("firstAzimuthLine", "lastAzimuthLine", "firstRangeSample", "lastRangeSample")
        )
        lines, values = numbers(vector, "line")[0], numbers(vector, "noiseAzimuthLut")[0]
        for i, row in enumerate(rows):
            for j, col in enumerate(cols):
                if first <= row <= last and left <= col <= right:
                    noise[i, j] *= np.interp(row, lines, values)
    return noise
