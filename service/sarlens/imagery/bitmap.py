"""PNG, JPEG and WebP: pictures as they are, and measurements where a PNG has 16 bits of grey."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sarlens.errors import TooLarge, UnsupportedImage
from sarlens.imagery.bands import Bands
from sarlens.imagery.blob import Blob, Limits
from sarlens.imagery.quantity import recognise
from sarlens.imagery.raster import Picture, Quantity, Raster
from sarlens.imagery.window import window_in
from sarlens.request import Render

_FORMATS = ("PNG", "JPEG", "WEBP")
_OPAQUE = 128


def decode_bitmap(blob: Blob, head: bytes, render: Render, size: int, limits: Limits) -> Raster | Picture:
    """Read a PNG, JPEG or WebP; of an animation the first frame, and pixels as they are stored, not as EXIF turns them.

    A Picture holds the blob's own bytes: grey or colour of 8 bits without transparency, at most ``size`` long, of
    which neither a part nor a band is wanted. A pixel that is mostly transparent counts as not measured.

    Raises:
        TooLarge: the file, or what it unpacks to, is over its limit.
        UnsupportedImage: it is damaged.
        WindowOutside, BandMissing, BadRequest: ``render`` does not fit the image.
    """
    if blob.size > limits.picture_bytes:
        raise TooLarge(f"{blob.name} has {blob.size} bytes; a PNG, JPEG or WebP may have {limits.picture_bytes}.")
    data = head + blob.read(len(head), blob.size - len(head))
    image = _loaded(blob, data, limits)
    if _goes_as_it_is(image, render, size):
        return Picture(data, Image.MIME[str(image.format)], image.width, image.height)
    return _raster(image, render)


def _loaded(blob: Blob, data: bytes, limits: Limits) -> Image.Image:
    """An image in memory, unpacked only if its header stays within the limits."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height * len(image.getbands()) <= limits.window_pixels:
            image.load()
            return image
    except Image.DecompressionBombError:
        pass
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError):
        raise UnsupportedImage(f"{blob.name} is damaged or cut short: it cannot be unpacked.") from None
    raise TooLarge(f"{blob.name} declares more than {limits.window_pixels} pixels times bands, which is the limit.")


def _goes_as_it_is(image: Image.Image, render: Render, size: int) -> bool:
    return (
        image.mode in {"L", "RGB"}
        and "transparency" not in image.info
        and getattr(image, "n_frames", 1) == 1
        and (render.window, render.bands, render.scale) == (None, None, "auto")
        and max(image.size) <= size
    )


def _raster(image: Image.Image, render: Render) -> Raster:
    """The wanted part and bands of an image."""
    window = window_in(image.width, image.height, render.window)
    pixels, valid = _planes(image.crop((window.col, window.row, window.col + window.width, window.row + window.height)))
    bands = Bands.named([[name] for name in "RGB"] if len(pixels) == 3 else [[]])
    quantity = recognise(pixels, valid, pixels.dtype, render.scale)
    if render.bands is not None:
        chosen = bands.pick(render.bands)
    else:
        chosen = tuple(range(len(pixels))) if quantity is Quantity.PICTURE else (bands.default(),)
    return Raster(pixels[list(chosen)], valid, tuple(map(bands.label, chosen)), quantity, window)


def _planes(image: Image.Image) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixels as (band, row, col), grey or RGB, and which of them are opaque."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.uint16)
        return grey[np.newaxis], np.ones(grey.shape, dtype=bool)
    valid = np.ones((image.height, image.width), dtype=bool)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        valid = np.asarray(image.getchannel("A")) >= _OPAQUE
    image = image.convert("L" if image.mode in {"1", "L"} else "RGB")
    pixels = np.asarray(image)
    return (pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)), valid
