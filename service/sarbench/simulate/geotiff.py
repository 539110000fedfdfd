"""Block-wise export of a scene of any size as a cloud-optimized GeoTIFF."""

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

from sarbench.simulate.land_cover import Polarization
from sarbench.simulate.scene import Scene
from sarlens.types.window import Window

CALIBRATION_CONSTANT = 1200.0
"""Digital number of a pixel with sigma0 = 1: DN = CALIBRATION_CONSTANT · √sigma0, similar to Sentinel-1."""
NODATA_DB = -99.0
"""Nodata value of rasters in dB."""
BLOCK_SIDE = 1024
"""Side in pixels of the blocks that are rendered at a time."""
_GDAL_CACHE_MB = 128
"""Block cache of GDAL, which defaults to 5 % of the machine's memory."""


class Encoding(StrEnum):
    """Pixel encoding of a file."""

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
        """Data type of the raster, as rasterio names it."""
        return {"dn": "uint16", "linear": "float32", "db": "float32", "slc": "complex64"}[self.value]

    @property
    def nodata(self) -> float | None:
        """Nodata value, or None."""
        return {"dn": 0.0, "db": NODATA_DB}.get(self.value)

    def encode_window(self, scene: Scene, window: Window, polarization: Polarization) -> NDArray[Any]:
        """Return ``window`` of ``scene`` in this encoding, shape (rows, cols)."""
        if self is Encoding.SLC:
            return scene.complex_amplitude(window, polarization)
        sigma0 = scene.intensity(window, polarization)
        if self is Encoding.DN:
            return np.clip(np.rint(CALIBRATION_CONSTANT * np.sqrt(sigma0)), 1, 65535).astype(np.uint16)
        return sigma0 if self is Encoding.LINEAR else 10 * np.log10(np.maximum(sigma0, np.float32(1e-9)))


class Georeference(NamedTuple):
    """Location of a scene: an EPSG code with meters as unit, and the upper left corner."""

    epsg: int = 32631
    easting: float = 593_000.0
    northing: float = 5_756_000.0


def write_geotiff(
    scene: Scene,
    path: Path,
    encoding: Encoding,
    *,
    polarizations: Sequence[Polarization] = ("VV",),
    georeference: Georeference = Georeference(),  # noqa: B008 - an immutable tuple
    margin: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write ``scene`` to ``path`` with CRS, affine transform, overviews, and one named band per polarization.

    Memory use is limited to a row of blocks. ``margin`` pixels along the edges become nodata, if the encoding has a
    nodata value. ``advance`` receives the number of pixels in each finished block.
    """
    spacing = scene.sensor.pixel_spacing_m
    profile = {
        "driver": "GTiff",
        "dtype": encoding.dtype,
        "count": len(polarizations),
        "width": scene.cols,
        "height": scene.rows,
        "crs": f"EPSG:{georeference.epsg}",
        "transform": from_origin(georeference.easting, georeference.northing, spacing, spacing),
        "nodata": encoding.nodata,
        "tiled": True,
        "bigtiff": "IF_SAFER",
    }
    draft = path.with_suffix(".part.tif")
    try:
        with (
            rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE_MB),
            rasterio.open(draft, "w", **profile) as raster,
            ThreadPoolExecutor(os.cpu_count()) as threads,
        ):
            for band, polarization in enumerate(polarizations, start=1):
                raster.set_band_description(band, polarization)
                for windows in _block_rows(scene):
                    for window, pixels in zip(
                        windows,
                        threads.map(lambda w, p=polarization: encoding.encode_window(scene, w, p), windows),
                        strict=True,
                    ):
                        _fill_margin(pixels, window, scene, margin, encoding)
                        raster.write(pixels, band, window=rasterio.windows.Window(*window))
                        advance(window.pixels)
        with rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE_MB):
            copy(draft, path, driver="COG", compress="DEFLATE", level=1, resampling="AVERAGE", num_threads="ALL_CPUS")
    finally:
        draft.unlink(missing_ok=True)


def _block_rows(scene: Scene) -> Iterator[list[Window]]:
    for row in range(0, scene.rows, BLOCK_SIDE):
        yield [
            Window(col, row, min(BLOCK_SIDE, scene.cols - col), min(BLOCK_SIDE, scene.rows - row))
            for col in range(0, scene.cols, BLOCK_SIDE)
        ]


def _fill_margin(pixels: NDArray[Any], window: Window, scene: Scene, margin: int, encoding: Encoding) -> None:
    if not margin or encoding.nodata is None:
        return
    rows = np.arange(window.row, window.row + window.height)[:, None]
    cols = np.arange(window.col, window.col + window.width)[None, :]
    inside = (rows >= margin) & (rows < scene.rows - margin) & (cols >= margin) & (cols < scene.cols - margin)
    pixels[~inside] = encoding.nodata
