"""Scenes that lie somewhere, with ships at known places, and a worker that counts them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

UTM = CRS.from_epsg(32631)
AFFINE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SHIP = 400


def sea(width: int, height: int, ships: NDArray[np.int_], seed: int = 0) -> NDArray[np.uint16]:
    """Amplitudes of speckled sea (row, col), with ships of 6 x 6 pixels at the places (ship, col and row)."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(40 * np.sqrt(rng.exponential(1.0, (height, width))) + 1, 1, 200).astype(np.uint16)
    for col, row in ships:
        pixels[row - 3 : row + 3, col - 3 : col + 3] = 4000
    return pixels


def geotiff(pixels: NDArray[Any], **more: Any) -> bytes:
    """One band as a tiled, deflated GeoTIFF with UTM coordinates, unless ``more`` says otherwise."""
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "dtype": pixels.dtype, "crs": UTM, "transform": AFFINE}
    profile |= {"height": pixels.shape[0], "width": pixels.shape[1], "tiled": True, "compress": "deflate"}
    profile |= {"blockxsize": 512, "blockysize": 512} | more
    with MemoryFile() as file:
        with file.open(**profile) as dataset:
            dataset.write(pixels, 1)
        return bytes(file.read())


def bright_spots(body: dict[str, Any]) -> int:
    """How many bright spots the picture of a chat shows; ships of ``sea`` that lie apart."""
    part = next(part for part in body["messages"][0]["content"] if part["type"] == "image_url")
    picture = Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2]))).convert("L")
    return spots(np.asarray(picture) > 250)


def spots(mask: NDArray[np.bool_]) -> int:
    """Connected parts of a mask with at least four pixels."""
    from scipy import ndimage  # noqa: PLC0415

    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:] if count else np.array([])
    return int((sizes >= 4).sum())


__all__ = ["AFFINE", "UTM", "bright_spots", "geotiff", "rasterio", "sea", "spots"]
