"""SICD, complex images in NITF, read by sarkit: the optional extra ``sicd``.

Source: NGA.STND.0024, Sensor Independent Complex Data, volumes 1 (elements) and 2 (NITF).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NotGeoreferenced, PayloadTooLarge, SarlensError, UnsupportedImage
from sarlens.imagery.core.bands import Bands
from sarlens.imagery.core.object_reader import PAGE_BYTES, DecodeLimits, ObjectReader
from sarlens.imagery.core.raster import Raster, resolve_window
from sarlens.imagery.core.xml import MAX_BYTES
from sarlens.imagery.formats.image_header import ImageHeader
from sarlens.imagery.formats.object_reader_io import ObjectReaderIO
from sarlens.imagery.formats.sicd_metadata import SicdMetadata
from sarlens.imagery.formats.windowed_read import read_window
from sarlens.imagery.geo.geometry_window import window_for_geometry
from sarlens.imagery.geo.georeference import ImageExtent
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window

_BYTES_PER_PIXEL = 8
"""Size of the largest pixel type, two 32-bit numbers."""


def decode_sicd(reader: ObjectReader, params: RenderParams, side: int, limits: DecodeLimits) -> Raster:
    """Read the window of a SICD that ``params`` selects. Whole rows are fetched.

    Args:
        reader: The object.
        params: Window, bands, looks and scale.
        side: Longest side of the rendered image in pixels.
        limits: Limits that the header is checked against.

    Raises:
        UnsupportedImage: The file is damaged, compressed or not a SICD, or sarkit isn't installed.
        PayloadTooLarge: The header declares, or the window requires, more than a limit allows.
        WindowOutOfBounds, BandNotFound, BadRequest: ``params`` doesn't match the image.
        SarlensError: The object can't be read.
    """
    with open_sicd(reader, limits) as dataset:
        window = resolve_window(dataset.width, dataset.height, params.window)
        bands = dataset.bands.indexes(params.bands or (1,))
        dataset.reserve_bytes(window, limits)
        looks = Looks(*params.looks) if params.looks else None
        raster = read_window(dataset, bands, window, side, looks, params.scale)
        labels = tuple(map(dataset.bands.label, bands))
        return replace(raster, bands=labels, calibration_factors=dataset.metadata.calibration_factors)


def read_sicd_extent(reader: ObjectReader, limits: DecodeLimits) -> ImageExtent:
    """Return size and georeference of a SICD; raises as ``decode_sicd``."""
    with open_sicd(reader, limits) as dataset:
        try:
            return ImageExtent(dataset.width, dataset.height, dataset.metadata.georeference)
        except NotGeoreferenced as error:
            return ImageExtent(dataset.width, dataset.height, None, error.message)


def read_sicd_header(reader: ObjectReader, limits: DecodeLimits) -> ImageHeader:
    """Return what the metadata of a SICD states; raises as ``decode_sicd``."""
    with open_sicd(reader, limits) as dataset:
        try:
            georeference, reason = dataset.metadata.georeference, ""
        except NotGeoreferenced as error:
            georeference, reason = None, error.message
        return ImageHeader(
            dataset.width,
            dataset.height,
            (dataset.bands.label(0),),
            "complex64",
            block_shape=dataset.block_shape,
            calibrations=tuple(dataset.metadata.calibration_factors),
            georeference=georeference,
            reason=reason,
        )


def sicd_window_for_geometry(reader: ObjectReader, params: RenderParams, limits: DecodeLimits) -> Window:
    """Return the window that covers the bbox or polygon of ``params``.

    Raises:
        NotGeoreferenced, WindowOutOfBounds, BadRequest: No window covers it.
        SarlensError: As ``decode_sicd``.
    """
    with open_sicd(reader, limits) as dataset:
        return window_for_geometry(dataset.metadata.georeference, params)


class SicdDataset:
    """An open SICD. Its pixels are uncompressed, row by row, so that each row is a block."""

    dtype = np.dtype(np.complex64)

    def __init__(self, name: str, file: ObjectReaderIO, nitf_reader: Any) -> None:
        self._name = name
        self._file = file
        self._nitf_reader = nitf_reader
        self.metadata = SicdMetadata(name, nitf_reader.metadata.xmltree)
        self.width, self.height = self.metadata.width, self.metadata.height
        self.block_shape = (1, self.width)
        self.bands = Bands.named([[self.metadata.polarization]])

    @property
    def segments_shape(self) -> tuple[int, set[int]]:
        """Sum of the rows, and set of the columns, of the segments with pixels, which are stacked vertically."""
        headers = [segment["subheader"] for segment in self._nitf_reader.jbp["ImageSegments"]]
        headers = [header for header in headers if header["IID1"].value.startswith("SICD")]
        return sum(header["NROWS"].value for header in headers), {header["NCOLS"].value for header in headers}

    def reserve_bytes(self, window: Window, limits: DecodeLimits) -> None:
        """Extend the byte budget by the size of the rows of a window.

        Raises:
            PayloadTooLarge: The rows have too many pixels.
        """
        pixels = window.height * self.width
        if pixels > limits.window_pixels:
            raise PayloadTooLarge(
                f"This window requires fetching {pixels} pixels of {self._name}, since rows are fetched whole; the "
                f"limit is {limits.window_pixels}. Request a window of fewer rows.",
                param="sar.window",
            )
        self._file.byte_budget += pixels * _BYTES_PER_PIXEL

    def read(self, bands: tuple[int, ...], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels (band, row, col), and (row, col) whether they are finite. Fill is detected later."""
        from sarkit.sicd import PIXEL_TYPES  # noqa: PLC0415

        dtype = PIXEL_TYPES[self.metadata.pixel_type]["dtype"].newbyteorder(">")
        stored = np.zeros((window.height, window.width), dtype)  # The file may have fewer segments than declared.
        stop = (window.row + window.height, window.col + window.width)
        self._nitf_reader.read_sub_image(window.row, window.col, *stop, out=stored)
        pixels = self._to_complex(stored)
        return np.repeat(pixels[np.newaxis], len(bands), axis=0), np.isfinite(pixels)

    def _to_complex(self, stored: NDArray[Any]) -> NDArray[np.complex64]:
        """Convert pixels of any type. Phases of ``AMP8I_PHS8I`` are dropped, since only power is used."""
        names = stored.dtype.names
        if not names:
            return stored.astype(np.complex64)
        if names[0] == "real":
            return (stored["real"].astype(np.float32) + 1j * stored["imag"].astype(np.float32)).astype(np.complex64)
        amplitudes: NDArray[np.complex64] = self.metadata.amplitudes[stored[names[0]]].astype(np.complex64)
        return amplitudes


@contextmanager
def open_sicd(reader: ObjectReader, limits: DecodeLimits) -> Iterator[SicdDataset]:
    """Open a SICD; errors of sarkit become UnsupportedImage, and otherwise as ``decode_sicd``."""
    try:
        import jbpy  # noqa: PLC0415
        from sarkit.sicd import NitfReader  # noqa: PLC0415
    except ImportError:
        raise UnsupportedImage(f"{reader.name} is a NITF file. The gateway needs the extra sicd to read it.") from None
    raw_file = ObjectReaderIO(reader, limits.header_bytes)
    file = io.BufferedReader(raw_file, PAGE_BYTES)
    try:
        _check_metadata(jbpy.Jbp().load(file), file, reader.name)
        file.seek(0)
        with NitfReader(file) as nitf_reader:
            dataset = SicdDataset(reader.name, raw_file, nitf_reader)
            _check_limits(dataset, reader.name, limits)
            yield dataset
    except SarlensError:
        raise
    except Exception as error:  # A parser of hostile bytes can raise any exception.
        raise UnsupportedImage(
            f"{reader.name} is a damaged SICD, or another kind of NITF. Of NITF, only SICD 1.x is "
            "supported: convert a SIDD or another NITF to GeoTIFF, for example with gdal_translate."
        ) from error


def _check_metadata(nitf: Any, file: Any, name: str) -> None:
    """Reject metadata that is too large to parse, or that declares a document type and so may declare entities."""
    segment = nitf["DataExtensionSegments"][0]["DESDATA"]
    if segment.size > MAX_BYTES:
        raise PayloadTooLarge(f"The metadata of {name} has {segment.size} bytes; the limit is {MAX_BYTES}.")
    file.seek(segment.get_offset())
    if b"<!DOCTYPE" in file.read(segment.size):
        raise UnsupportedImage(f"The metadata of {name} declares a document type, which isn't supported.")


def _check_limits(dataset: SicdDataset, name: str, limits: DecodeLimits) -> None:
    if dataset.width < 1 or dataset.segments_shape != (dataset.height, {dataset.width}):
        raise UnsupportedImage(f"{name} declares {dataset.width} x {dataset.height} pixels, but has a different size.")
    if dataset.width * dataset.height > limits.scene_pixels:
        raise PayloadTooLarge(
            f"{name} declares {dataset.width} x {dataset.height} pixels; the limit is {limits.scene_pixels}."
        )
