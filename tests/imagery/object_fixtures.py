"""Images in memory, and an object reader that records its reads."""

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
from rasterio.windows import Window as RasterioWindow

from sarlens.imagery.core.raster import Quantity, Raster, RenderedImage
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}


@dataclass
class RecordingReader:
    """An object reader of bytes in memory that records its reads."""

    data: bytes
    name: str = "s3://scenes/port.tif"
    version: str = ""
    fetch_seconds: float = 0.0
    reads: list[tuple[int, int]] = field(default_factory=list)
    """Start and number of the bytes of each read."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    @property
    def bytes_fetched(self) -> int:
        """Bytes read so far."""
        return sum(length for _, length in self.reads)

    def read(self, start: int, length: int) -> bytes:
        """Return the bytes from ``start`` on."""
        data = self.data[start : start + length]
        self.reads.append((start, len(data)))
        return data


def geotiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """Return a GeoTIFF of pixels of shape (band, row, col) or (row, col).

    The options ``names``, ``overviews`` (factors), ``mask`` (row, col), ``tags`` by namespace, ``band_tags``,
    ``scales``, ``offsets`` and ``colormap`` set metadata. ``resampling`` is that of the overviews. Other options are
    those of GDAL's driver.
    """
    planes = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    metadata = {key: options.pop(key, None) for key in _METADATA}
    resampling = options.pop("resampling", Resampling.average)
    bands, rows, cols = planes.shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": cols, "dtype": planes.dtype} | options
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as file:
        with file.open(**profile) as dataset:
            dataset.write(planes, window=RasterioWindow(0, 0, cols, rows))
            _set_metadata(dataset, metadata)
            if metadata["overviews"]:
                dataset.build_overviews(metadata["overviews"], resampling)
        return bytes(file.getbuffer())


_METADATA = ("names", "overviews", "mask", "tags", "band_tags", "scales", "offsets", "colormap")


def _set_metadata(dataset: Any, metadata: dict[str, Any]) -> None:
    for key, attribute in (("names", "descriptions"), ("scales", "scales"), ("offsets", "offsets")):
        if metadata[key]:
            setattr(dataset, attribute, metadata[key])
    for namespace, tags in (metadata["tags"] or {}).items():
        dataset.update_tags(ns=namespace or None, **tags)
    for band, tags in enumerate(metadata["band_tags"] or (), start=1):
        dataset.update_tags(band, **tags)
    if metadata["mask"] is not None:
        dataset.write_mask(metadata["mask"])
    if metadata["colormap"]:
        dataset.write_colormap(1, metadata["colormap"])


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """Return a PNG, JPEG or WebP of pixels of shape (row, col) or (row, col, channel)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def raster_of(data: bytes, size: int = 448, limits: DecodeLimits | None = None, **render: Any) -> Raster:
    """Return the raster of an image that isn't passed through unchanged."""
    raster = read_image(RecordingReader(data), RenderParams(**render), size, limits or DecodeLimits())
    assert isinstance(raster, Raster)
    return raster


def speckled(shape: tuple[int, ...], looks: float = 1, seed: int = 0) -> NDArray[np.float32]:
    """Return gamma-distributed speckle: power of mean 1."""
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


def make_raster(pixels: Any, quantity: Quantity, valid: Any = None) -> Raster:
    """Return a raster of pixels of shape (band, row, col) or (row, col), with numbered bands."""
    planes = np.asarray(pixels)
    planes = planes if planes.ndim == 3 else planes[np.newaxis]
    mask = np.ones(planes.shape[1:], dtype=bool) if valid is None else np.asarray(valid)
    names = tuple(str(band) for band in range(1, len(planes) + 1))
    return Raster(planes, mask, names, quantity, Window(0, 0, mask.shape[1], mask.shape[0]))


def rgb_pixels(rendered: RenderedImage) -> NDArray[np.uint8]:
    """Return the pixels of a rendered PNG, of shape (row, col, channel)."""
    with Image.open(io.BytesIO(rendered.data)) as image:
        assert image.format == "PNG"
        assert image.size == (rendered.width, rendered.height)
        return np.asarray(image.convert("RGB"))
