"""TIFF, GeoTIFF, COG and BigTIFF: limits, and the window, bands and overview that render parameters select."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from math import ceil
from typing import NamedTuple, TypeAlias

from sarlens.errors import NotGeoreferenced, PayloadTooLarge, UnsupportedImage
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.core.raster import Raster, resolve_window
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader
from sarlens.imagery.formats.image_header import ImageHeader, Level, short_tags
from sarlens.imagery.formats.plain_tiff import PlainTiff
from sarlens.imagery.formats.strip_rows import SparseRows, StripRows
from sarlens.imagery.formats.tiff_dataset import TiffDataset
from sarlens.imagery.formats.tiff_file import TiffFile, open_tiff, open_tiff_file
from sarlens.imagery.formats.windowed_read import read_window
from sarlens.imagery.geo.geometry_window import window_for_geometry
from sarlens.imagery.geo.georeference import Georeference, ImageExtent
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window

_MAX_BLOCKS = 64 * 1024
"""Maximum number of tiles and strips that a window overlaps; each costs time, however small it is."""
_MAX_DENSE_LOOKS = 4
"""Rows that are averaged, above which only one of them is read if the file allows it."""
_MAX_OVERVIEWS = 32
"""Overviews of an image that are used."""
_BUDGET_FACTOR = 3
"""Bytes that may be fetched for each uncompressed byte: the mask and the gaps between blocks are fetched too."""


def decode_tiff(reader: ObjectReader, head: bytes, params: RenderParams, side: int, limits: DecodeLimits) -> Raster:
    """Read the window and bands of a TIFF that ``params`` selects.

    Args:
        reader: The object.
        head: First bytes of the object.
        params: Window, bands, looks, scale and nodata value.
        side: Longest side of the rendered image in pixels, which selects the overview.
        limits: Limits that the header is checked against.

    Raises:
        UnsupportedImage: The TIFF is damaged, refers to other files, or is of a kind that isn't supported.
        PayloadTooLarge: The header declares, or the window requires, more than a limit allows.
        WindowOutOfBounds, BandNotFound, BadRequest: ``params`` doesn't match the image.
        SarlensError: The object can't be read.
    """
    file = open_tiff_file(reader, head, limits)
    if plain := file.open_plain():
        with file.until_not_plain():
            return _decode(file, partial(_open_plain_level, plain, params.nodata), params, side, limits)
    return _decode(file, partial(_open_gdal_level, file.ranges, params.nodata), params, side, limits)


_OpenLevel: TypeAlias = Callable[[int | None], AbstractContextManager[TiffDataset]]
"""Opens an overview by its index, or the full resolution."""


def _open_plain_level(plain: PlainTiff, nodata: float | None, level: int | None) -> AbstractContextManager[TiffDataset]:
    return nullcontext(TiffDataset(plain if level is None else plain.overview(level), nodata))


def _open_gdal_level(
    range_reader: GdalRangeReader, nodata: float | None, level: int | None
) -> AbstractContextManager[TiffDataset]:
    return open_tiff(range_reader, nodata, **({} if level is None else {"OVERVIEW_LEVEL": level}))


def _decode(file: TiffFile, open_level: _OpenLevel, params: RenderParams, side: int, limits: DecodeLimits) -> Raster:
    """Read the window from the image, or from the overview that has enough pixels."""
    with open_level(None) as image:
        check_limits(image, file.reader, limits)
        window = resolve_window(image.width, image.height, params.window)
        bands = select_bands(image, params)
        looks = requested_looks(image, params)
        level = None if looks else image.overview_level(window, side)
        with nullcontext(image) if level is None else open_level(level) as dataset:
            check_limits(dataset, file.reader, limits)
            if dataset.signature != image.signature:
                raise UnsupportedImage(f"{file.reader.name} is a damaged TIFF: its overviews don't match the image.")
            level_window = _scale_window(window, dataset.width / image.width, dataset.height / image.height)
            reserve_bytes(file.ranges, dataset, len(bands), level_window, limits)
            raster = read_window(dataset, bands, level_window, side, looks, params.scale)
        labels = tuple(map(image.bands.label, bands))
        return replace(raster, bands=labels, window=window, calibration_factors=image.calibration_factors)


def decode_tiff_level(
    reader: ObjectReader,
    head: bytes,
    params: RenderParams,
    level: Level,
    window: Window,
    looks: Looks,
    limits: DecodeLimits,
) -> Raster:
    """Read a window of one resolution of a TIFF, averaged over looks.

    Args:
        reader: The object.
        head: First bytes of the object.
        params: Bands, scale and nodata value.
        level: The resolution.
        window: Window in pixels of that resolution.
        looks: Pixels of that resolution that are averaged.
        limits: Limits that the header is checked against.

    Raises:
        SarlensError: As ``decode_tiff``.
    """
    file = open_tiff_file(reader, head, limits)
    request = _LevelRequest(params, level, window, looks)
    if plain := file.open_plain():
        with file.until_not_plain():
            return _decode_level(file, partial(_open_plain_level, plain, params.nodata), request, limits)
    return _decode_level(file, partial(_open_gdal_level, file.ranges, params.nodata), request, limits)


class _LevelRequest(NamedTuple):
    """The arguments of ``decode_tiff_level`` that select pixels."""

    params: RenderParams
    level: Level
    window: Window
    looks: Looks


def _decode_level(file: TiffFile, open_level: _OpenLevel, request: _LevelRequest, limits: DecodeLimits) -> Raster:
    params, level, window, looks = request
    with open_level(None) as image:
        check_limits(image, file.reader, limits)
        bands = select_bands(image, params)
        with nullcontext(image) if level.overview is None else open_level(level.overview) as dataset:
            check_limits(dataset, file.reader, limits)
            if dataset.signature != image.signature or (dataset.width, dataset.height) != level[1:]:
                raise UnsupportedImage(f"{file.reader.name} is a damaged TIFF: its overviews don't match the image.")
            resolve_window(level.width, level.height, window)
            strips = _sparse_strips(file, dataset, request)
            if strips is not None:
                raster = _read_sparse(strips, dataset, request, limits)
            else:
                reserve_bytes(file.ranges, dataset, len(bands), window, limits)
                raster = read_window(dataset, bands, window, max(window), looks, params.scale)
        labels = tuple(map(image.bands.label, bands))
        source = _scale_window(window, image.width / level.width, image.height / level.height)
        return replace(raster, bands=labels, window=source, calibration_factors=image.calibration_factors)


def _sparse_strips(file: TiffFile, dataset: TiffDataset, request: _LevelRequest) -> StripRows | None:
    """Return the rows of a file, of which a reduced view needs only some; None if the view needs all."""
    if request.level.overview is not None or request.looks.down <= _MAX_DENSE_LOOKS or not dataset.has_only_numbers:
        return None
    return StripRows.open(file.ranges, file.directories)


def _read_sparse(strips: StripRows, dataset: TiffDataset, request: _LevelRequest, limits: DecodeLimits) -> Raster:
    """Average along rows only, over the middle row of each look."""
    window, looks = request.window, request.looks
    rows = ceil(window.height / looks.down)
    strips.reserve_bytes(rows, window.width, limits)
    sparse = SparseRows(strips, dataset, window.row, looks.down)
    view = Window(window.col, 0, window.width, rows)
    return read_window(sparse, (0,), view, max(window), Looks(looks.across, 1), request.params.scale)


def tiff_window_for_geometry(reader: ObjectReader, head: bytes, params: RenderParams, limits: DecodeLimits) -> Window:
    """Return the window that covers the bbox or polygon of ``params``.

    Raises:
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``decode_tiff``.
        NotGeoreferenced, WindowOutOfBounds, BadRequest: No window covers it.
    """
    with open_tiff(open_tiff_file(reader, head, limits).ranges) as dataset:
        check_limits(dataset, reader, limits)
        return window_for_geometry(Georeference.from_dataset(dataset.rasterio_dataset, reader.name), params)


def read_tiff_extent(reader: ObjectReader, head: bytes, limits: DecodeLimits) -> ImageExtent:
    """Return size and georeference of an image from its header.

    Raises:
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``decode_tiff``.
    """
    with open_tiff(open_tiff_file(reader, head, limits).ranges) as dataset:
        check_limits(dataset, reader, limits)
        try:
            georeference = Georeference.from_dataset(dataset.rasterio_dataset, reader.name)
            return ImageExtent(dataset.width, dataset.height, georeference)
        except NotGeoreferenced as error:
            return ImageExtent(dataset.width, dataset.height, None, error.message)


def read_tiff_header(
    reader: ObjectReader, head: bytes, limits: DecodeLimits, nodata: float | None = None
) -> ImageHeader:
    """Return what the header of a TIFF states, with the overviews that fit a nodata value; None for the file's own.

    Raises:
        UnsupportedImage, PayloadTooLarge, SarlensError: As ``decode_tiff``.
    """
    file = open_tiff_file(reader, head, limits)
    ranges = file.ranges
    with open_tiff(ranges, nodata) as image:
        check_limits(image, reader, limits)
        overviews = tuple(_read_overviews(ranges, image))
        try:
            georeference, reason = Georeference.from_dataset(image.rasterio_dataset, reader.name), ""
        except NotGeoreferenced as error:
            georeference, reason = None, error.message
        return ImageHeader(
            image.width,
            image.height,
            tuple(map(image.bands.label, range(image.count))),
            image.dtype.name,
            overviews=overviews,
            block_shape=image.block_shape,
            has_sparse_rows=image.has_only_numbers and StripRows.open(ranges, file.directories) is not None,
            calibrations=tuple(image.calibration_factors),
            tags=short_tags(image.rasterio_dataset.tags()),
            georeference=georeference,
            reason=reason,
        )


def _read_overviews(ranges: GdalRangeReader, image: TiffDataset) -> Iterator[Level]:
    """Yield the overviews that can be read in place of an image, and are smaller."""
    for index in range(len(image.overview_factors[:_MAX_OVERVIEWS])):
        with open_tiff(ranges, OVERVIEW_LEVEL=index) as overview:
            if 1 <= overview.width < image.width and 1 <= overview.height <= image.height:
                yield Level(index, overview.width, overview.height)


def check_limits(dataset: TiffDataset, reader: ObjectReader, limits: DecodeLimits) -> None:
    """Reject an image by its header, before any pixel is read.

    An image with the tag OVERVIEW_FILE is rejected. GDAL opens the file or URL in the tag, with any driver, once the
    overviews or the mask are requested. Until then, GDAL only reads the tag.

    Raises:
        UnsupportedImage: The image refers to another file, or the type of its numbers isn't supported.
        PayloadTooLarge: The image has too many bands or pixels, or too large tiles or strips.
    """
    if dataset.rasterio_dataset.tags(ns="OVERVIEWS"):
        raise UnsupportedImage(f"{reader.name} refers to another file for its overviews.")
    declared = f"{reader.name} declares {dataset.width} x {dataset.height} pixels in {dataset.count} band(s)"
    if dataset.count > limits.bands:
        raise PayloadTooLarge(f"{declared}; the limit is {limits.bands} bands.")
    if dataset.width * dataset.height * dataset.count > limits.scene_pixels:
        raise PayloadTooLarge(f"{declared}; the limit is {limits.scene_pixels} pixels times bands.")
    if dataset.dtype.kind not in "uifc":
        raise UnsupportedImage(f"{reader.name} stores {dataset.dtype}, which isn't supported.")
    if dataset.block_bytes > limits.block_bytes:
        rows, cols = dataset.block_shape
        raise PayloadTooLarge(
            f"{declared} in tiles or strips of {cols} x {rows}; one may have {limits.block_bytes} bytes uncompressed, "
            f"and these have {dataset.block_bytes}."
        )


def select_bands(dataset: TiffDataset, params: RenderParams) -> tuple[int, ...]:
    """Return the indexes of the requested bands, or else of the default bands."""
    if params.bands is not None:
        return dataset.bands.indexes(params.bands)
    return dataset.rgb_indexes if _is_brightness(dataset, params) else (dataset.bands.default_index(),)


def requested_looks(dataset: TiffDataset, params: RenderParams) -> Looks | None:
    """Return the requested looks, in pixels of the full resolution; None for an 8-bit image, which has no power."""
    return Looks(*params.looks) if params.looks and not _is_brightness(dataset, params) else None


def _is_brightness(dataset: TiffDataset, params: RenderParams) -> bool:
    return bool(dataset.dtype == "uint8" and params.scale == "auto")


def _scale_window(window: Window, col_factor: float, row_factor: float) -> Window:
    """Return the smallest window of whole overview pixels that covers a window of the full resolution."""
    col, row = int(window.col * col_factor), int(window.row * row_factor)
    right, bottom = ceil((window.col + window.width) * col_factor), ceil((window.row + window.height) * row_factor)
    return Window(col, row, max(1, right - col), max(1, bottom - row))


def reserve_bytes(
    range_reader: GdalRangeReader, dataset: TiffDataset, bands: int, window: Window, limits: DecodeLimits
) -> None:
    """Extend the byte budget by three times the uncompressed size of the tiles and strips of a window.

    Raises:
        PayloadTooLarge: There are too many tiles and strips, or they have too many pixels.
    """
    if (blocks := dataset.blocks_to_unpack(bands, window)) > _MAX_BLOCKS:
        raise PayloadTooLarge(
            f"This window requires decoding {blocks} tiles or strips of {range_reader.reader.name}; the limit is "
            f"{_MAX_BLOCKS}. Request a smaller window, or store the image in larger tiles.",
            param="sar.window",
        )
    pixels = dataset.pixels_to_unpack(bands, window)
    if pixels > limits.window_pixels:
        raise PayloadTooLarge(
            f"This window requires decoding {pixels} pixels of {range_reader.reader.name}; the limit is "
            f"{limits.window_pixels}. Request a smaller window, or store the image with overviews (COG).",
            param="sar.window",
        )
    range_reader.byte_budget += _BUDGET_FACTOR * pixels * dataset.dtype.itemsize
