"""TIFF, GeoTIFF, COG and BigTIFF by GDAL, which sees one file, one driver and no network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession

from sarlens.errors import NotGeoreferenced, SarlensError, TooLarge, UnsupportedImage
from sarlens.imagery.blob import Blob, Limits
from sarlens.imagery.georeference import Georeference, Layout
from sarlens.imagery.place import window_of
from sarlens.imagery.ranges import Ranges
from sarlens.imagery.raster import Raster
from sarlens.imagery.scene import Scene
from sarlens.imagery.strips import read_window
from sarlens.imagery.window import window_in
from sarlens.request import Looks, Render, Window

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""What a TIFF or BigTIFF begins with."""

_FOLLOWERS = "VRT DERIVED GTI STACIT STACTA HTTP WMS WMTS WCS PLMOSAIC EEDAI DAAS"
_GDAL = {
    "GDAL_SKIP": _FOLLOWERS.replace(" ", ","),
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
    "GDAL_CACHEMAX": 64,
    "GDAL_MAX_RAW_BLOCK_CACHE_SIZE": 64 * 2**20,
}
"""``_FOLLOWERS`` are drivers that open what a file names. The other switches keep GDAL from looking for companions
of a file, its block cache at 64 MB, and let it ask at once for up to 64 MB of packed blocks, where it would take 10 MB
so and the rest one by one."""


def decode_tiff(blob: Blob, head: bytes, render: Render, side: int, limits: Limits) -> Raster:
    """Read what ``render`` wants of a TIFF, for a picture ``side`` pixels long.

    Raises:
        UnsupportedImage: the TIFF is damaged, refers to other files, or is of a kind that is not read.
        TooLarge: what it declares, or what would have to be unpacked, is over a limit.
        WindowOutside, BandMissing, BadRequest: ``render`` does not fit the image.
    """
    ranges = Ranges(blob, head, limits.header_bytes)
    with opened(ranges) as scene:
        check(scene, blob, limits)
        window = window_in(scene.width, scene.height, render.window)
        bands = chosen(scene, render)
        labels = tuple(map(scene.bands.label, bands))
        looks = looks_of(scene, render)
        level, full = None if looks else scene.level(window, side), scene.kind
        width, height, known = scene.width, scene.height, scene.factors
    with opened(ranges, **({} if level is None else {"OVERVIEW_LEVEL": level})) as scene:
        check(scene, blob, limits)
        if scene.kind != full:
            raise UnsupportedImage(f"{blob.name} is a damaged TIFF: its overviews are not of the image.")
        cells = _scaled(window, scene.width / width, scene.height / height)
        allow(ranges, scene, len(bands), cells, limits)
        raster = read_window(scene, bands, cells, side, looks, render.scale)
    return replace(raster, bands=labels, window=window, factors=known)


def locate_tiff(blob: Blob, head: bytes, render: Render, limits: Limits) -> Window:
    """The window that covers the bbox or polygon of ``render``.

    Raises:
        UnsupportedImage, TooLarge: as ``decode_tiff``.
        NotGeoreferenced, WindowOutside, BadRequest: there is no such window.
    """
    with opened(Ranges(blob, head, limits.header_bytes)) as scene:
        check(scene, blob, limits)
        return window_of(Georeference.of(scene.dataset, blob.name), render)


def lay_out_tiff(blob: Blob, head: bytes, limits: Limits) -> Layout:
    """What the header says of an image's size and place.

    Raises:
        UnsupportedImage, TooLarge: as ``decode_tiff``.
    """
    with opened(Ranges(blob, head, limits.header_bytes)) as scene:
        check(scene, blob, limits)
        try:
            return Layout(scene.width, scene.height, Georeference.of(scene.dataset, blob.name))
        except NotGeoreferenced as error:
            return Layout(scene.width, scene.height, None, error.message)


@contextmanager
def opened(ranges: Ranges, **options: Any) -> Iterator[Scene]:
    """An open TIFF, with GDAL's errors in our words."""
    with (
        in_our_words(ranges),
        rasterio.Env(session=DummySession(), **_GDAL),
        rasterio.open(ranges.name, driver="GTiff", opener=ranges, **options) as dataset,
    ):
        yield Scene(dataset)


@contextmanager
def in_our_words(ranges: Ranges) -> Iterator[None]:
    """GDAL's errors as ours; what failed first stands for all that followed from it."""
    try:
        yield
    except (SarlensError, RasterioError, CPLE_BaseError, ValueError, KeyError) as error:
        ranges.check()
        if isinstance(error, SarlensError):
            raise
        raise UnsupportedImage(f"{ranges.blob.name} is a damaged TIFF, or of a kind that is not read.") from error
    ranges.check()


def check(scene: Scene, blob: Blob, limits: Limits) -> None:
    """Refuse by its header what must not be read.

    The tag OVERVIEW_FILE makes GDAL open whatever it names, local files and URLs included, with any driver, once it
    is asked for overviews or a mask; until then it only stands there.
    """
    if scene.dataset.tags(ns="OVERVIEWS"):
        raise UnsupportedImage(f"{blob.name} refers to another file for its overviews.")
    declared = f"{blob.name} declares {scene.width} x {scene.height} pixels in {scene.count} band(s)"
    if scene.count > limits.bands:
        raise TooLarge(f"{declared}; at most {limits.bands} bands are read.")
    if scene.width * scene.height * scene.count > limits.scene_pixels:
        raise TooLarge(f"{declared}; an image may have {limits.scene_pixels} pixels times bands.")
    if scene.stored.kind not in "uifc":
        raise UnsupportedImage(f"{blob.name} stores {scene.stored}, which is not read.")
    if scene.block_bytes > limits.block_bytes:
        raise TooLarge(
            f"{declared} in tiles or strips of {scene.block[1]} x {scene.block[0]}; one may unpack to "
            f"{limits.block_bytes} bytes, this needs {scene.block_bytes}."
        )


def chosen(scene: Scene, render: Render) -> tuple[int, ...]:
    """The bands asked for, or those that show the image best."""
    if render.bands is not None:
        return scene.bands.pick(render.bands)
    return scene.colours if _shows_picture(scene, render) else (scene.bands.default(),)


def looks_of(scene: Scene, render: Render) -> Looks | None:
    """The looks asked for, where there is power to average; they count pixels of the full resolution."""
    return Looks(*render.looks) if render.looks and not _shows_picture(scene, render) else None


def _shows_picture(scene: Scene, render: Render) -> bool:
    return bool(scene.stored == "uint8" and render.scale == "auto")


def _scaled(window: Window, across: float, down: float) -> Window:
    """A window in pixels of an overview, a part of a pixel counting as one."""
    col, row = int(window.col * across), int(window.row * down)
    right, bottom = ceil((window.col + window.width) * across), ceil((window.row + window.height) * down)
    return Window(col, row, max(1, right - col), max(1, bottom - row))


def allow(ranges: Ranges, scene: Scene, bands: int, cells: Window, limits: Limits) -> None:
    """Let pass what the tiles and strips of a window may weigh, unless they are too many to unpack.

    Thrice, because the mask is read too, and the blocks between two strips are read for both.
    """
    pixels = scene.pixels_to_unpack(bands, cells)
    if pixels > limits.window_pixels:
        raise TooLarge(
            f"To read this window {pixels} pixels of {ranges.blob.name} would have to be unpacked; "
            f"at most {limits.window_pixels} are. Ask for a smaller window, or store the image with overviews (COG).",
            param="sar.window",
        )
    ranges.allowance += 3 * pixels * scene.stored.itemsize
