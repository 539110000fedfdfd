"""Georeferenced scenes with ships at known positions, and functions that count the ships."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

UTM = CRS.from_epsg(32631)
AFFINE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SHIP = 400
SIDE = 200
"""Rows and columns of the images that ``control_points`` place."""


def sea(width: int, height: int, ships: NDArray[np.int_], seed: int = 0) -> NDArray[np.uint16]:
    """Return amplitudes (row, col) of a sea with speckle, and ships of 6 x 6 pixels at ``ships`` (ship, col/row)."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(40 * np.sqrt(rng.exponential(1.0, (height, width))) + 1, 1, 200).astype(np.uint16)
    for col, row in ships:
        pixels[row - 3 : row + 3, col - 3 : col + 3] = 4000
    return pixels


def geotiff(pixels: NDArray[Any], *, tags: Mapping[str, str] | None = None, **more: Any) -> bytes:
    """Encode (row, col) or (band, row, col) as a tiled, deflated GeoTIFF in UTM; ``more`` overrides the profile."""
    bands = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    count, height, width = bands.shape
    profile: dict[str, Any] = {"driver": "GTiff", "count": count, "dtype": bands.dtype, "crs": UTM, "transform": AFFINE}
    profile |= {"height": height, "width": width, "tiled": True, "compress": "deflate"}
    profile |= {"blockxsize": 512, "blockysize": 512} | more
    with MemoryFile() as file:
        with file.open(**profile) as dataset:
            dataset.update_tags(**tags or {})  # before the pixels, or GDAL moves the header to the end of the file
            dataset.write(bands)
        return bytes(file.read())


def bright_spots(body: dict[str, Any]) -> int:
    """Return the number of bright spots in the image of a chat: the ships of ``sea`` that don't touch."""
    part = next(part for part in body["messages"][0]["content"] if part["type"] == "image_url")
    image = Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2]))).convert("L")
    return spots(np.asarray(image) > 250)


def spots(mask: NDArray[np.bool_]) -> int:
    """Return the number of connected regions of a mask with at least four pixels."""
    from scipy import ndimage  # noqa: PLC0415

    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:] if count else np.array([])
    return int((sizes >= 4).sum())


def swath(cols: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], lon: float = 10.0) -> tuple[Any, Any]:
    """A ground that no affine describes: turned, sheared and bent, some 20 km across."""
    u, v = cols / SIDE, rows / SIDE
    return lon + 0.3 * u + 0.05 * v + 0.01 * u * v + 0.004 * u**2, 50 - 0.18 * v + 0.04 * u + 0.003 * np.sin(3 * u)


def control_points(lon: float = 10.0, count: int = 11) -> list[GroundControlPoint]:
    """A grid of control points on the swath, their longitudes between -180 and 180."""
    steps = np.linspace(0, SIDE, count)
    found = []
    for row in steps:
        for col in steps:
            x, y = swath(np.array(col), np.array(row), lon)
            found.append(GroundControlPoint(row=row, col=col, x=float((x + 180) % 360 - 180), y=float(y)))
    return found


__all__ = ["AFFINE", "SIDE", "UTM", "bright_spots", "control_points", "geotiff", "rasterio", "sea", "spots", "swath"]
