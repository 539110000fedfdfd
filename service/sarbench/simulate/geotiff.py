"""Writing a scene as cloud-optimised GeoTIFF, block by block, whatever its size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy
from rasterio.transform import from_origin

from sarbench.simulate.landcover import Polarisation
from sarbench.simulate.scene import Scene
from sarlens.request import Window

CALIBRATION = 1200.0
"""Digital number of a pixel whose sigma0 is 1: DN = CALIBRATION · √sigma0, near Sentinel-1's scale."""
NODATA_DB = -99.0
"""What stands for nothing measured in a raster of decibels."""
BLOCK = 1024
"""Side in pixels of the blocks that are rendered at a time."""
_CACHE_MB = 128
"""Blocks that GDAL keeps in memory, of which it would take a twentieth of the machine's."""


class Encoding(StrEnum):
    """What the numbers in a file are."""

    DN = "dn"
    """Amplitude as uint16 digital numbers; 0 is nodata."""
    LINEAR = "linear"
    """Linear sigma0 as float32."""
    DB = "db"
    """sigma0 in dB as float32; -99 is nodata."""
    SLC = "slc"
    """Single-look complex amplitude as complex float32."""

    @property
    def dtype(self) -> str:
        """The raster's data type, as rasterio names it."""
        return {"dn": "uint16", "linear": "float32", "db": "float32", "slc": "complex64"}[self.value]

    @property
    def nodata(self) -> float | None:
        """The value of a pixel that was not measured, where there is one."""
        return {"dn": 0.0, "db": NODATA_DB}.get(self.value)

    def pixels(self, scene: Scene, window: Window, polarisation: Polarisation) -> NDArray[Any]:
        """``window`` of ``scene`` in this encoding, shape (rows, cols)."""
        if self is Encoding.SLC:
            return scene.amplitude(window, polarisation)
        sigma0 = scene.intensity(window, polarisation)
        if self is Encoding.DN:
            return np.clip(np.rint(CALIBRATION * np.sqrt(sigma0)), 1, 65535).astype(np.uint16)
        return sigma0 if self is Encoding.LINEAR else 10 * np.log10(np.maximum(sigma0, np.float32(1e-9)))


class Georeference(NamedTuple):
    """Where a scene lies: an EPSG code in metres, and the upper left corner's easting and northing."""

    epsg: int = 32631
    east: float = 593_000.0
    north: float = 5_756_000.0


def write_geotiff(
    scene: Scene,
    path: Path,
    encoding: Encoding,
    *,
    polarisations: Sequence[Polarisation] = ("VV",),
    place: Georeference = Georeference(),  # noqa: B008 - an immutable tuple
    margin: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write ``scene`` to ``path`` with CRS, affine, overviews and one named band per polarisation.

    Memory is bounded by a row of blocks. ``margin`` pixels along the edges become nodata, for encodings that have
    it. ``advance`` is told how many pixels each finished block has.
    """
    spacing = scene.sensor.spacing
    profile = {
        "driver": "GTiff",
        "dtype": encoding.dtype,
        "count": len(polarisations),
        "width": scene.cols,
        "height": scene.rows,
        "crs": f"EPSG:{place.epsg}",
        "transform": from_origin(place.east, place.north, spacing, spacing),
        "nodata": encoding.nodata,
        "tiled": True,
        "bigtiff": "IF_SAFER",
    }
    draft = path.with_suffix(".part.tif")
    try:
        with (
            rasterio.Env(GDAL_CACHEMAX=_CACHE_MB),
            rasterio.open(draft, "w", **profile) as raster,
            ThreadPoolExecutor(os.cpu_count()) as threads,
        ):
            for band, polarisation in enumerate(polarisations, start=1):
                raster.set_band_description(band, polarisation)
                for windows in _block_rows(scene):
                    for window, pixels in zip(
                        windows,
                        threads.map(lambda w, p=polarisation: encoding.pixels(scene, w, p), windows),
                        strict=True,
                    ):
                        _blank_margin(pixels, window, scene, margin, encoding)
                        raster.write(pixels, band, window=rasterio.windows.Window(*window))
                        advance(window.pixels)
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            copy(draft, path, driver="COG", compress="DEFLATE", level=1, resampling="AVERAGE", num_threads="ALL_CPUS")
    finally:
        draft.unlink(missing_ok=True)


def _block_rows(scene: Scene) -> Iterator[list[Window]]:
    for row in range(0, scene.rows, BLOCK):
        yield [
            Window(col, row, min(BLOCK, scene.cols - col), min(BLOCK, scene.rows - row))
            for col in range(0, scene.cols, BLOCK)
        ]


def _blank_margin(pixels: NDArray[Any], window: Window, scene: Scene, margin: int, encoding: Encoding) -> None:
    if not margin or encoding.nodata is None:
        return
    rows = np.arange(window.row, window.row + window.height)[:, None]
    cols = np.arange(window.col, window.col + window.width)[None, :]
    inside = (rows >= margin) & (rows < scene.rows - margin) & (cols >= margin) & (cols < scene.cols - margin)
    pixels[~inside] = encoding.nodata
