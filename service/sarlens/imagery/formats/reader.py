"""Reading of images of any supported format, which their first bytes identify.

The first image of a format loads the libraries of that format: GDAL takes 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sarlens.errors import BadRequest, CalibrationMissing, NotGeoreferenced, UnsupportedImage
from sarlens.imagery.core.object_reader import PAGE_BYTES, DecodeLimits, ObjectReader
from sarlens.imagery.core.raster import Raster, RenderedImage
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.core.turn import Turn
from sarlens.imagery.formats.bitmap import decode_bitmap, load_bitmap
from sarlens.imagery.formats.foreign_formats import describe_foreign
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window

if TYPE_CHECKING:
    from sarlens.imagery.formats.image_header import ImageHeader, Level
    from sarlens.imagery.geo.georeference import ImageExtent

__all__ = [
    "TIFF_MAGIC",
    "DecodeLimits",
    "ObjectReader",
    "locate_window",
    "read_extent",
    "read_header",
    "read_image",
    "read_level",
    "read_source_image",
    "read_turn_to_north",
]

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a TIFF or BigTIFF."""
_NITF_MAGIC = (b"NITF", b"NSIF")
_UNKNOWN = "isn't a PNG, JPEG, WebP, TIFF or SICD."
_PNG_MAGIC, _JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def read_image(reader: ObjectReader, params: RenderParams, size: int, limits: DecodeLimits) -> Raster | RenderedImage:
    """Read the window and bands of an image that ``params`` selects.

    Args:
        reader: The object.
        params: Window, bands, looks, scale and size.
        size: Longest side of the rendered image in pixels, if ``params`` has no size.
        limits: Limits of what is decoded.

    Returns:
        A RenderedImage of the object's own bytes, if a model can read them unchanged. Otherwise a Raster with at
        least 1.5 times the pixels of the rendered image on its longest side, if the image has them. A larger window
        is read from an overview, or averaged over looks, so that memory depends on the rendered image.

    Raises:
        UnsupportedImage: The bytes aren't a supported PNG, JPEG, WebP, TIFF or SICD, or are damaged.
        PayloadTooLarge: The image or the window exceeds a limit.
        WindowOutOfBounds, BandNotFound, CalibrationMissing, BadRequest: ``params`` doesn't match the image.
        SarlensError: The object can't be read.
    """
    head = reader.read(0, min(PAGE_BYTES, reader.size))
    side = params.size or size
    if head.startswith(TIFF_MAGIC):
        from sarlens.imagery.formats.tiff import decode_tiff

        return decode_tiff(reader, head, params, side, limits)
    _check_nodata(reader, params.nodata)
    if head.startswith(_NITF_MAGIC):
        from sarlens.imagery.formats.sicd import decode_sicd

        return decode_sicd(reader, params, side, limits)
    _check_bitmap(reader, head)
    if params.calibration != "none":
        raise CalibrationMissing(f"{reader.name} isn't a TIFF or SICD, so it can't be calibrated.")
    return decode_bitmap(reader, head, params, side, limits)


def _check_nodata(reader: ObjectReader, nodata: float | None) -> None:
    if nodata is not None:
        raise BadRequest(f"{reader.name} isn't a TIFF, so it has no nodata value.", param="sar.nodata")


def _check_bitmap(reader: ObjectReader, head: bytes) -> None:
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    if not (is_webp or head.startswith((_PNG_MAGIC, _JPEG_MAGIC))):
        raise UnsupportedImage(f"{reader.name} {describe_foreign(head) or _UNKNOWN}")


def read_source_image(
    source_image: SourceImage, params: RenderParams, size: int, limits: DecodeLimits
) -> Raster | RenderedImage:
    """Read an image of one or more files; each file of a product is one band of the raster.

    Raises:
        UnsupportedImage: The files of a product aren't images of one band and the same size.
        SarlensError: As ``read_image``.
    """
    measurements = source_image.measurements
    if all(measurement.band is None for measurement in measurements):
        return read_image(source_image.georeferencing_file, params, size, limits)
    band_params = params.model_copy(update={"bands": None})
    rasters = [read_image(measurement.reader, band_params, size, limits) for measurement in measurements]
    return stack_bands(source_image, [raster for raster in rasters if isinstance(raster, Raster)])


def stack_bands(source_image: SourceImage, rasters: Sequence[Raster]) -> Raster:
    """Stack the rasters of a product's measurements. A pixel is valid if it is valid in all of them.

    Raises:
        UnsupportedImage: The rasters differ in shape, window or quantity, or have more than one band.
    """
    layouts = {(raster.shape, raster.window, raster.quantity, len(raster.bands)) for raster in rasters}
    if len(rasters) != len(source_image.measurements) or len(layouts) != 1 or len(rasters[0].bands) != 1:
        raise UnsupportedImage(f"The measurements of {source_image.name} aren't images of one band and the same size.")
    names = tuple(measurement.band or "" for measurement in source_image.measurements)
    pixels = np.concatenate([raster.pixels for raster in rasters])
    valid = np.logical_and.reduce([raster.valid for raster in rasters])
    return replace(rasters[0], pixels=pixels, valid=valid, bands=names)


def read_header(reader: ObjectReader, limits: DecodeLimits, nodata: float | None = None) -> ImageHeader:
    """Return what the header of a file states, with the overviews that fit a nodata value; None for the file's own.

    Raises:
        BadRequest: There is a nodata value, and the file isn't a TIFF.
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``read_image``.
    """
    from sarlens.imagery.formats.image_header import ImageHeader

    head = reader.read(0, min(PAGE_BYTES, reader.size))
    if head.startswith(TIFF_MAGIC):
        from sarlens.imagery.formats.tiff import read_tiff_header

        return read_tiff_header(reader, head, limits, nodata)
    _check_nodata(reader, nodata)
    if head.startswith(_NITF_MAGIC):
        from sarlens.imagery.formats.sicd import read_sicd_header

        return read_sicd_header(reader, limits)
    _check_bitmap(reader, head)
    image = load_bitmap(reader, head, limits)
    is_deep = image.mode.startswith("I")
    bands = ("R", "G", "B") if image.mode not in {"1", "L", "LA"} and not is_deep else ("1",)
    data_type = "uint16" if is_deep else "uint8"
    return ImageHeader(image.width, image.height, bands, data_type, reason=f"{reader.name} isn't a TIFF or SICD.")


def read_level(
    source_image: SourceImage,
    params: RenderParams,
    level: Level,
    window: Window,
    looks: Looks,
    limits: DecodeLimits,
) -> Raster:
    """Read a window of one resolution of an image, averaged over looks; each file of a product is one band.

    Args:
        source_image: The image.
        params: Bands and scale.
        level: The resolution.
        window: Window in pixels of that resolution.
        looks: Pixels of that resolution that are averaged. BRIGHTNESS is averaged by the caller.
        limits: Limits of what is decoded.

    Raises:
        SarlensError: As ``read_source_image``.
    """
    measurements = source_image.measurements
    if all(measurement.band is None for measurement in measurements):
        return _read_level(source_image.georeferencing_file, params, level, window, looks, limits)
    params = params.model_copy(update={"bands": None})
    rasters = [_read_level(measurement.reader, params, level, window, looks, limits) for measurement in measurements]
    return stack_bands(source_image, rasters)


def _read_level(
    reader: ObjectReader, params: RenderParams, level: Level, window: Window, looks: Looks, limits: DecodeLimits
) -> Raster:
    head = reader.read(0, min(PAGE_BYTES, reader.size))
    if head.startswith(TIFF_MAGIC):
        from sarlens.imagery.formats.tiff import decode_tiff_level

        return decode_tiff_level(reader, head, params, level, window, looks, limits)
    params = params.with_window(window).model_copy(update={"looks": tuple(looks), "calibration": "none"})
    raster = read_image(reader, params, max(window), limits)
    if isinstance(raster, RenderedImage):  # only without a window
        raise UnsupportedImage(f"{reader.name} can't be read by windows.")
    return raster


def read_extent(reader: ObjectReader, limits: DecodeLimits) -> ImageExtent | None:
    """Return size and georeference of an image from its header; None if it isn't a TIFF or SICD.

    Raises:
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``read_image``.
    """
    head = reader.read(0, min(PAGE_BYTES, reader.size))
    if head.startswith(_NITF_MAGIC):
        from sarlens.imagery.formats.sicd import read_sicd_extent

        return read_sicd_extent(reader, limits)
    if head.startswith(TIFF_MAGIC):
        from sarlens.imagery.formats.tiff import read_tiff_extent

        return read_tiff_extent(reader, head, limits)
    return None


def read_turn_to_north(reader: ObjectReader, limits: DecodeLimits) -> Turn | None:
    """Return the turn of an image after which north is up; None if it isn't georeferenced.

    Raises:
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``read_image``.
    """
    extent = read_extent(reader, limits)
    if extent is None or extent.georeference is None:
        return None
    from sarlens.imagery.geo.orientation import turn_to_north

    return turn_to_north(extent.georeference)


def locate_window(reader: ObjectReader, params: RenderParams, limits: DecodeLimits) -> Window:
    """Return the window of an image that covers the bbox or polygon of ``params``, from the header alone.

    Raises:
        NotGeoreferenced: The image has no georeference; only TIFF and SICD can have one.
        WindowOutOfBounds: The bbox or polygon is outside the image.
        BadRequest: The bbox, polygon or CRS is invalid.
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``read_image``.
    """
    head = reader.read(0, min(PAGE_BYTES, reader.size))
    if head.startswith(_NITF_MAGIC):
        from sarlens.imagery.formats.sicd import sicd_window_for_geometry

        return sicd_window_for_geometry(reader, params, limits)
    if not head.startswith(TIFF_MAGIC):
        raise NotGeoreferenced(
            f'{reader.name} isn\'t a TIFF or SICD, so it has no georeference. Set "window" in pixels instead.'
        )
    from sarlens.imagery.formats.tiff import tiff_window_for_geometry

    return tiff_window_for_geometry(reader, head, params, limits)
