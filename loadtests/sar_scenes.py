"""Radar scenes of the workload that compares Sarlens with peers: as 16-bit GeoTIFFs, and as 8-bit PNGs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

SIDE, MODEL_SIDE = 2048, 256
"""Sides of a scene and of the image that the model sees, in pixels."""

Pixels = NDArray[np.uint16]


def scene(rng: np.random.Generator) -> Pixels:
    """Return digital numbers of a sea with speckle of four looks and twelve ships."""
    pixels = 100 * np.sqrt(rng.gamma(4.0, 0.25, (SIDE, SIDE)))
    for row, col in rng.integers(100, SIDE - 100, (12, 2)):
        pixels[row : row + 12, col : col + 40] *= 10
    return pixels.astype(np.uint16)


def marked(pixels: Pixels, number: int) -> Pixels:
    """Return the scene with a number in its corner, so that no cache holds it.

    Each of the 16 bits is a square of 32 x 32 pixels that is brighter or darker than before. Its levels are within
    those of the scene, so that a stretch doesn't clip it, and it is a square of 4 x 4 pixels in a rendered image.
    """
    copy = pixels.copy()
    for bit in range(16):
        square = copy[:32, 32 * bit : 32 * (bit + 1)]
        square[:] = square * (1.1 if number >> bit & 1 else 0.8)
    return copy


def tiff(path: Path, pixels: Pixels) -> None:
    """Write a scene as a tiled GeoTIFF with overviews."""
    height, width = pixels.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=512, blockysize=512) as out:
        out.write(pixels, 1)
        out.build_overviews([2, 4, 8])


def png(pixels: Pixels, side: int) -> str:
    """Return a data URL of the scene, stretched to 8 bits and resized to ``side`` pixels."""
    low, high = np.percentile(pixels[::8, ::8], (2, 98))
    grey = Image.fromarray(np.clip((pixels - low) * (255 / (high - low)), 0, 255).astype(np.uint8))
    if side != SIDE:
        grey = grey.resize((side, side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    grey.save(buffer, "png", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
