"""PNG, JPEG and WebP: 8-bit images, which are passed through if possible, and 16-bit PNGs, which are measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sarlens.errors import PayloadTooLarge, UnsupportedImage
from sarlens.imagery.core.bands import Bands
from sarlens.imagery.core.image_task import reserve_memory
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.core.raster import Quantity, Raster, RenderedImage, resolve_window
from sarlens.imagery.formats.bounded_file import BoundedFile, check_jpeg_scans
from sarlens.imagery.formats.infer_quantity import infer_quantity
from sarlens.types.render_params import RenderParams

_FORMATS = ("PNG", "JPEG", "WEBP")
_JPEG_FORMATS = ("JPEG", "MPO")
_MAX_SIDE = 65_535
"""Maximum rows and columns, as in a JPEG. Pillow needs 24 bytes for each row, however short it is."""
_MIN_VALID_ALPHA = 128


def decode_bitmap(
    reader: ObjectReader, head: bytes, params: RenderParams, size: int, limits: DecodeLimits
) -> Raster | RenderedImage:
    """Read a PNG, JPEG or WebP: the first frame of an animation, without EXIF rotation.

    Args:
        reader: The object.
        head: First bytes of the object.
        params: Window, bands and scale.
        size: Longest side of the rendered image in pixels.
        limits: Limits that the file size and the header are checked against.

    Returns:
        A RenderedImage of the object's own bytes, if the image has 8 bits, no transparency and at most ``size``
        pixels, and ``params`` selects all of it. Otherwise a Raster. Pixels with an alpha below 128 are invalid.

    Raises:
        PayloadTooLarge: The file, its pixels times bands, its scans or its decoding time exceeds a limit.
        UnsupportedImage: The file is damaged.
        WindowOutOfBounds, BandNotFound, BadRequest: ``params`` doesn't match the image.
        SarlensError: The object can't be read.
    """
    data, image = _read_bitmap(reader, head, limits)
    if _can_pass_through(image, params, size):
        return RenderedImage(data, Image.MIME[str(image.format)], image.width, image.height)
    return _to_raster(image, params)


def load_bitmap(reader: ObjectReader, head: bytes, limits: DecodeLimits) -> Image.Image:
    """Decode a PNG, JPEG or WebP; raises as ``decode_bitmap``."""
    return _read_bitmap(reader, head, limits)[1]


def _read_bitmap(reader: ObjectReader, head: bytes, limits: DecodeLimits) -> tuple[bytes, Image.Image]:
    """Return the bytes of a file and its image."""
    if reader.size > limits.bitmap_bytes:
        raise PayloadTooLarge(
            f"{reader.name} has {reader.size} bytes; the limit for PNG, JPEG and WebP is {limits.bitmap_bytes}."
        )
    reserve_memory(reader.size)
    data = head + reader.read(len(head), reader.size - len(head))
    return data, _load_image(reader, data, limits)


def _load_image(reader: ObjectReader, data: bytes, limits: DecodeLimits) -> Image.Image:
    """Decompress an image if the size and the scans in its headers are within the limits."""
    try:
        image = Image.open(BoundedFile(data, reader.name), formats=_FORMATS)
        pixels = image.width * image.height * len(image.getbands())
        if pixels <= limits.window_pixels and max(image.size) <= _MAX_SIDE:
            if image.format in _JPEG_FORMATS:
                check_jpeg_scans(data, reader.name)
            image.load()
            return image
    except Image.DecompressionBombError:
        pass
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError):
        raise UnsupportedImage(f"{reader.name} is damaged or truncated, and can't be decoded.") from None
    raise PayloadTooLarge(
        f"{reader.name} declares more than {limits.window_pixels} pixels times bands, or more than {_MAX_SIDE} rows or "
        "columns, which are the limits."
    )


def _can_pass_through(image: Image.Image, params: RenderParams, size: int) -> bool:
    return (
        image.mode in {"L", "RGB"}
        and "transparency" not in image.info
        and getattr(image, "n_frames", 1) == 1
        and (params.window, params.bands, params.scale) == (None, None, "auto")
        and max(image.size) <= size
        and (params.enlarge == 1 or max(image.size) == size)
    )


def _to_raster(image: Image.Image, params: RenderParams) -> Raster:
    """Return the window and bands of an image that ``params`` selects."""
    window = resolve_window(image.width, image.height, params.window)
    pixels, valid = _to_arrays(
        image.crop((window.col, window.row, window.col + window.width, window.row + window.height))
    )
    bands = Bands.named([[name] for name in "RGB"] if len(pixels) == 3 else [[]])
    quantity = infer_quantity(pixels, valid, pixels.dtype, params.scale)
    if params.bands is not None:
        indexes = bands.indexes(params.bands)
    else:
        indexes = tuple(range(len(pixels))) if quantity is Quantity.BRIGHTNESS else (bands.default_index(),)
    return Raster(pixels[list(indexes)], valid, tuple(map(bands.label, indexes)), quantity, window)


def _to_arrays(image: Image.Image) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return pixels of shape (band, row, col), grayscale or RGB, and (row, col) whether they are opaque."""
    if image.mode.startswith("I"):
        gray = np.asarray(image).astype(np.uint16)
        return gray[np.newaxis], np.ones(gray.shape, dtype=bool)
    valid = np.ones((image.height, image.width), dtype=bool)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        valid = np.asarray(image.getchannel("A")) >= _MIN_VALID_ALPHA
    image = image.convert("L" if image.mode in {"1", "L"} else "RGB")
    pixels = np.asarray(image)
    return (pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)), valid
