"""Images made in memory, and blobs that count what is read of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.windows import Window

from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.raster import Raster
from sarlens.request import Render

TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}


@dataclass
class BytesBlob:
    """A blob whose bytes are all here, that remembers which of them were read."""

    data: bytes
    name: str = "s3://scenes/port.tif"
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    @property
    def moved(self) -> int:
        """Number of bytes read so far."""
        return sum(length for _, length in self.reads)

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on."""
        data = self.data[start : start + length]
        self.reads.append((start, len(data)))
        return data


def geotiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """A GeoTIFF of (band, row, col) or (row, col).

    ``names``, ``overviews`` (factors), ``mask`` (row, col), ``tags`` by namespace, ``band_tags``, ``scales`` and
    ``offsets`` describe it; the other options are those of GDAL's driver.
    """
    planes = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    described = {key: options.pop(key, None) for key in _DESCRIBED}
    bands, rows, cols = planes.shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": cols, "dtype": planes.dtype} | options
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as held:
        with held.open(**profile) as dataset:
            dataset.write(planes, window=Window(0, 0, cols, rows))
            _describe(dataset, described)
            if described["overviews"]:
                dataset.build_overviews(described["overviews"], Resampling.average)
        return bytes(held.getbuffer())


_DESCRIBED = ("names", "overviews", "mask", "tags", "band_tags", "scales", "offsets", "colormap")


def _describe(dataset: Any, described: dict[str, Any]) -> None:
    for key, attribute in (("names", "descriptions"), ("scales", "scales"), ("offsets", "offsets")):
        if described[key]:
            setattr(dataset, attribute, described[key])
    for namespace, tags in (described["tags"] or {}).items():
        dataset.update_tags(ns=namespace or None, **tags)
    for band, tags in enumerate(described["band_tags"] or (), start=1):
        dataset.update_tags(band, **tags)
    if described["mask"] is not None:
        dataset.write_mask(described["mask"])
    if described["colormap"]:
        dataset.write_colormap(1, described["colormap"])


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """A PNG, JPEG or WebP of (row, col) or (row, col, channel)."""
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind, **options)
    return held.getvalue()


def raster_of(data: bytes, size: int = 448, limits: Limits | None = None, **render: Any) -> Raster:
    """What is decoded of an image that is no picture to pass on as it is."""
    raster = decode(BytesBlob(data), Render(**render), size, limits or Limits())
    assert isinstance(raster, Raster)
    return raster


def speckled(shape: tuple[int, ...], looks: float = 1, seed: int = 0) -> NDArray[np.float32]:
    """Power of mean 1 under gamma-distributed speckle."""
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)
