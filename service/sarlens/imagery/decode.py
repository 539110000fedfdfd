"""From an object's bytes to pixels, whatever the object is called: what it begins with says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sarlens.errors import CalibrationMissing, NotGeoreferenced, UnsupportedImage
from sarlens.imagery.bitmap import decode_bitmap
from sarlens.imagery.blob import Blob, Limits
from sarlens.imagery.georeference import Layout
from sarlens.imagery.original import Original
from sarlens.imagery.ranges import PAGE
from sarlens.imagery.raster import Picture, Raster
from sarlens.imagery.sicd import decode_sicd, lay_out_sicd, locate_sicd
from sarlens.imagery.tiff import TIFF, decode_tiff, lay_out_tiff, locate_tiff
from sarlens.request import Render, Window

__all__ = ["Blob", "Layout", "Limits", "decode", "decode_all", "lay_out", "locate"]

_NITF = (b"NITF", b"NSIF")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def decode(blob: Blob, render: Render, size: int, limits: Limits) -> Raster | Picture:
    """Read what ``render`` wants of an image, for a picture at most ``size`` pixels long where it names no size.

    A Picture is the object's own bytes, fit for a model as they are. A Raster holds at least 1.5 times the pixels
    that the picture will have on its longest side, where the image has them; of a larger window an overview is read,
    or the mean power over looks, so that what stays in memory depends on the picture and not on the window.

    Raises:
        UnsupportedImage: the bytes are no PNG, JPEG, WebP, TIFF or SICD that is read here, or damaged.
        TooLarge: the image or the window is over a limit.
        WindowOutside, BandMissing, CalibrationMissing, BadRequest: ``render`` does not fit the image.
        SarlensError: whatever reading the blob raises.
    """
    head = blob.read(0, min(PAGE, blob.size))
    side = render.size or size
    if head.startswith(TIFF):
        return decode_tiff(blob, head, render, side, limits)
    if head.startswith(_NITF):
        return decode_sicd(blob, render, side, limits)
    if render.calibration != "none":
        raise CalibrationMissing(f"{blob.name} is no measurement, and what it shows cannot be calibrated.")
    if head.startswith((_PNG, _JPEG)) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return decode_bitmap(blob, head, render, side, limits)
    raise UnsupportedImage(f"{blob.name} is no PNG, JPEG, WebP, TIFF or SICD.")


def decode_all(original: Original, render: Render, size: int, limits: Limits) -> Raster | Picture:
    """The same of all files of an image, whose bands lie one above the other.

    Raises:
        UnsupportedImage: they are not measurements of the same size.
        SarlensError: as ``decode``.
    """
    if all(each.band is None for each in original.measurements):
        return decode(original.first, render, size, limits)
    alone = render.model_copy(update={"bands": None})
    rasters = [decode(each.blob, alone, size, limits) for each in original.measurements]
    return stacked(original, [raster for raster in rasters if isinstance(raster, Raster)])


def stacked(original: Original, rasters: Sequence[Raster]) -> Raster:
    """The rasters of a product's measurements, one band each, as one raster; what all have measured is valid.

    Raises:
        UnsupportedImage: they do not fit together.
    """
    kinds = {(raster.shape, raster.window, raster.quantity, len(raster.bands)) for raster in rasters}
    if len(rasters) != len(original.measurements) or len(kinds) != 1 or len(rasters[0].bands) != 1:
        raise UnsupportedImage(f"The measurements of {original.name} are not images of one band and the same size.")
    names = tuple(each.band or "" for each in original.measurements)
    pixels = np.concatenate([raster.pixels for raster in rasters])
    valid = np.logical_and.reduce([raster.valid for raster in rasters])
    return replace(rasters[0], pixels=pixels, valid=valid, bands=names)


def lay_out(blob: Blob, limits: Limits) -> Layout | None:
    """How large an image is and where it lies, from its header; None where it is neither TIFF nor SICD.

    Raises:
        UnsupportedImage, TooLarge, SarlensError: as ``decode``.
    """
    head = blob.read(0, min(PAGE, blob.size))
    if head.startswith(_NITF):
        return lay_out_sicd(blob, limits)
    return lay_out_tiff(blob, head, limits) if head.startswith(TIFF) else None


def locate(blob: Blob, render: Render, limits: Limits) -> Window:
    """The window of an image that covers the bbox or polygon of ``render``; reads the header alone.

    Raises:
        NotGeoreferenced: the image does not say where it lies; only a TIFF and a SICD can.
        WindowOutside: the place lies outside the image.
        BadRequest: the place or its CRS cannot be understood.
        UnsupportedImage, TooLarge, SarlensError: as ``decode``.
    """
    head = blob.read(0, min(PAGE, blob.size))
    if head.startswith(_NITF):
        return locate_sicd(blob, render, limits)
    if not head.startswith(TIFF):
        raise NotGeoreferenced(f'{blob.name} is no TIFF and does not say where it lies. Ask for a "window" in pixels.')
    return locate_tiff(blob, head, render, limits)
