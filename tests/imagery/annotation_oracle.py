"""Tables of Sentinel-1 annotation, interpolated by SciPy from numbers that are read without an XML parser."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from sarlens.types.render_params import Calibration

GAINS: dict[Calibration, str] = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma"}


def numbers(text: str, name: str) -> list[list[float]]:
    """Return all lists of numbers in elements of this name."""
    return [
        [float(number) for number in text.split()] for text in re.findall(rf"<{name}(?: [^>]*)?>([^<]*)</{name}>", text)
    ]


def gridded(text: str, vectors: str, field: str, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[Any]:
    """Return a table at azimuth lines (rows) and range pixels (cols); the table must be a regular grid."""
    part = text[text.index(f"<{vectors}") : text.index(f"</{vectors}>")]
    lines = [line[0] for line in numbers(part, "line")]
    pixels = numbers(part, "pixel")
    assert all(line == pixels[0] for line in pixels)
    table = RegularGridInterpolator((lines, pixels[0]), np.array(numbers(part, field)))
    grid = np.meshgrid(np.clip(rows, None, lines[-1]), np.clip(cols, None, pixels[0][-1]), indexing="ij")
    values: NDArray[Any] = table(np.stack(grid, axis=-1))
    return values


def noise_by_scipy(text: str, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[Any]:
    """Return the thermal noise of annotation of either version, pixel by pixel along azimuth."""
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
