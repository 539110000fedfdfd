"""SICD, complex images in NITF, by sarkit: an optional extra, ``pip install "sarlens[sicd]"``.

Source: NGA.STND.0024, Sensor Independent Complex Data, volumes 1 (elements), 2 (NITF) and 3 (projections).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NotGeoreferenced, SarlensError, TooLarge, UnsupportedImage
from sarlens.imagery.bands import Bands
from sarlens.imagery.blob import Blob, Limits
from sarlens.imagery.georeference import Georeference, Layout
from sarlens.imagery.markup import MAX_BYTES
from sarlens.imagery.place import window_of
from sarlens.imagery.raster import Raster
from sarlens.imagery.strips import read_window
from sarlens.imagery.surface import Surface
from sarlens.imagery.window import window_in
from sarlens.request import Calibration, Looks, Render, Window

_PAGE = 64 * 1024
_POINTS = 9
"""Ground control points along either side of an image."""
_FACTORS: dict[Calibration, str] = {"sigma0": "SigmaZeroSFPoly", "beta0": "BetaZeroSFPoly", "gamma0": "GammaZeroSFPoly"}
_LARGEST_POLYNOMIAL = 32


def decode_sicd(blob: Blob, render: Render, side: int, limits: Limits) -> Raster:
    """Read what ``render`` wants of a SICD, for a picture ``side`` pixels long. Whole rows are fetched.

    Raises:
        UnsupportedImage: it is damaged, compressed or no SICD, or sarkit is not installed.
        TooLarge: what it declares, or what would have to be fetched, is over a limit.
        WindowOutside, BandMissing, BadRequest: ``render`` does not fit the image.
    """
    with _opened(blob, limits) as scene:
        window = window_in(scene.width, scene.height, render.window)
        bands = scene.bands.pick(render.bands or (1,))
        scene.allow(window, limits)
        looks = Looks(*render.looks) if render.looks else None
        raster = read_window(scene, bands, window, side, looks, render.scale)
        return replace(raster, bands=tuple(map(scene.bands.label, bands)), factors=scene.factors)


def lay_out_sicd(blob: Blob, limits: Limits) -> Layout:
    """What a SICD says of its size and place; raises as ``decode_sicd``."""
    with _opened(blob, limits) as scene:
        try:
            return Layout(scene.width, scene.height, scene.place)
        except NotGeoreferenced as error:
            return Layout(scene.width, scene.height, None, error.message)


def locate_sicd(blob: Blob, render: Render, limits: Limits) -> Window:
    """The window that covers the bbox or polygon of ``render``.

    Raises:
        NotGeoreferenced, WindowOutside, BadRequest: there is no such window.
        SarlensError: as ``decode_sicd``.
    """
    with _opened(blob, limits) as scene:
        return window_of(scene.place, render)


class _Scene:
    """An open SICD. Its rows are one block each: pixels lie row after row, uncompressed."""

    stored = np.dtype(np.complex64)

    def __init__(self, name: str, file: _File, reader: Any) -> None:
        self._name = name
        self._file = file
        self._reader = reader
        self._tree = reader.metadata.xmltree
        self.width, self.height = (int(self._number(f"ImageData/Num{side}")) for side in ("Cols", "Rows"))
        self.block = (1, self.width)
        self.bands = Bands.named([[self._text("ImageFormation/TxRcvPolarizationProc").replace(":", "")]])

    @property
    def segments(self) -> tuple[int, set[int]]:
        """Rows and columns of the segments that hold pixels, which lie one below the other."""
        headers = [each["subheader"] for each in self._reader.jbp["ImageSegments"]]
        held = [header for header in headers if header["IID1"].value.startswith("SICD")]
        return sum(header["NROWS"].value for header in held), {header["NCOLS"].value for header in held}

    def allow(self, window: Window, limits: Limits) -> None:
        """Let pass what the rows of a window weigh, unless they are too many."""
        pixels = window.height * self.width
        if pixels > limits.window_pixels:
            raise TooLarge(
                f"To read this window {pixels} pixels of {self._name} would have to be fetched, whole rows; at most "
                f"{limits.window_pixels} are. Ask for a window of fewer rows.",
                param="sar.window",
            )
        self._file.allowance += pixels * 8

    def read(self, bands: tuple[int, ...], cells: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels (1, row, col), and that all of them are measured; zeros that fill an area are found later."""
        from sarkit.sicd import PIXEL_TYPES  # noqa: PLC0415

        dtype = PIXEL_TYPES[self._text("ImageData/PixelType")]["dtype"].newbyteorder(">")
        out = np.zeros((cells.height, cells.width), dtype)  # segments may be fewer than the metadata says
        stop = (cells.row + cells.height, cells.col + cells.width)
        self._reader.read_sub_image(cells.row, cells.col, *stop, out=out)
        pixels = self._complex(out)
        return np.repeat(pixels[np.newaxis], len(bands), axis=0), np.isfinite(pixels)

    def _complex(self, stored: NDArray[Any]) -> NDArray[np.complex64]:
        """Of amplitude and phase in bytes, the amplitude; power is all that is made of it."""
        names = stored.dtype.names
        if not names:
            return stored.astype(np.complex64)
        if names[0] == "real":
            return (stored["real"].astype(np.float32) + 1j * stored["imag"].astype(np.float32)).astype(np.complex64)
        table = {int(each.get("index")): float(each.text) for each in self._tree.findall("{*}ImageData/{*}AmpTable/*")}
        amplitudes = np.array([table.get(index, index) for index in range(256)], dtype=np.float32)
        found: NDArray[np.complex64] = amplitudes[stored[names[0]]].astype(np.complex64)
        return found

    @property
    def factors(self) -> Mapping[Calibration, Surface]:
        """The scale factors of power that the block Radiometric holds; many products have none."""
        found = {name: self._polynomial(f"Radiometric/{field}") for name, field in _FACTORS.items()}
        return {
            name: Surface(coefficients, self._origin, self._spacing)
            for name, coefficients in found.items()
            if coefficients is not None
        }

    @property
    def place(self) -> Georeference:
        """Ground control points of the surface at the height of the scene centre point, by the SICD projection.

        Raises:
            NotGeoreferenced: it cannot be computed.
        """
        from sarkit.sicd import image_to_constant_hae_surface  # noqa: PLC0415
        from sarkit.wgs84 import cartesian_to_geodetic  # noqa: PLC0415

        rows, cols = np.linspace(0, self.height, _POINTS), np.linspace(0, self.width, _POINTS)
        grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
        distances = (grid - 0.5 - self._origin) * self._spacing
        try:
            height = self._number("GeoData/SCP/LLH/HAE")
            ground, _, ok = image_to_constant_hae_surface(self._tree, distances, height)
            geodetic = cartesian_to_geodetic(ground)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            ArithmeticError,
            AssertionError,
            np.linalg.LinAlgError,
        ):
            ok, geodetic = False, np.zeros(())
        if not ok or not np.isfinite(geodetic).all():
            raise NotGeoreferenced(f'{self._name} does not say where it lies. Ask for a "window" in pixels.')
        lonlat = geodetic.reshape(-1, 3)[:, 1::-1]
        return Georeference.of_points(self.width, self.height, grid.reshape(-1, 2), lonlat)

    @property
    def _origin(self) -> tuple[float, float]:
        """The scene centre point, in pixels of this file, which may be a part of the full image."""
        row, col = (
            self._number(f"ImageData/SCPPixel/{side}") - self._number(f"ImageData/First{side}")
            for side in ("Row", "Col")
        )
        return row, col

    @property
    def _spacing(self) -> tuple[float, float]:
        return self._number("Grid/Row/SS"), self._number("Grid/Col/SS")

    def _polynomial(self, path: str) -> NDArray[np.float64] | None:
        terms = self._tree.findall(f"{_steps(path)}/{{*}}Coef")
        if not terms:
            return None
        powers = [(int(term.get("exponent1")), int(term.get("exponent2"))) for term in terms]
        if not all(0 <= power < _LARGEST_POLYNOMIAL for pair in powers for power in pair):
            raise ValueError(path)
        coefficients = np.zeros(np.max(powers, axis=0) + 1)
        for at, term in zip(powers, terms, strict=True):
            coefficients[at] = float(term.text)
        return coefficients

    def _number(self, path: str) -> float:
        number = float(self._text(path))
        if not np.isfinite(number):
            raise ValueError(path)
        return number

    def _text(self, path: str) -> str:
        return self._tree.findtext(_steps(path)) or ""


def _steps(path: str) -> str:
    """A path for elements of any version's namespace."""
    return "/".join(f"{{*}}{step}" for step in path.split("/"))


@contextmanager
def _opened(blob: Blob, limits: Limits) -> Iterator[_Scene]:
    """An open SICD; whatever fails in reading it is our error."""
    try:
        import jbpy  # noqa: PLC0415
        from sarkit.sicd import NitfReader  # noqa: PLC0415
    except ImportError:
        raise UnsupportedImage(
            f'{blob.name} is a NITF. SICD is read where the gateway is installed as "sarlens[sicd]".'
        ) from None
    raw = _File(blob, limits.header_bytes)
    file = io.BufferedReader(raw, _PAGE)
    try:
        _check_metadata(jbpy.Jbp().load(file), file, blob.name)
        file.seek(0)
        with NitfReader(file) as reader:
            scene = _Scene(blob.name, raw, reader)
            _check(scene, blob.name, limits)
            yield scene
    except SarlensError:
        raise
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise UnsupportedImage(f"{blob.name} is a damaged SICD, or a NITF of another kind.") from error


def _check_metadata(nitf: Any, file: Any, name: str) -> None:
    """Refuse metadata that must not be parsed: too large, or with a document type, and so with entities."""
    segment = nitf["DataExtensionSegments"][0]["DESDATA"]
    if segment.size > MAX_BYTES:
        raise TooLarge(f"The metadata of {name} has {segment.size} bytes; at most {MAX_BYTES} are read.")
    file.seek(segment.get_offset())
    if b"<!DOCTYPE" in file.read(segment.size):
        raise UnsupportedImage(f"The metadata of {name} declares a document type.")


def _check(scene: _Scene, name: str, limits: Limits) -> None:
    if scene.width < 1 or scene.segments != (scene.height, {scene.width}):
        raise UnsupportedImage(f"{name} declares {scene.width} x {scene.height} pixels, and holds others.")
    if scene.width * scene.height > limits.scene_pixels:
        raise TooLarge(
            f"{name} declares {scene.width} x {scene.height} pixels; an image may have {limits.scene_pixels}."
        )


class _File(io.RawIOBase):
    """A blob as a file. ``allowance`` counts down the bytes that may still move."""

    def __init__(self, blob: Blob, allowance: int) -> None:
        self.allowance = allowance
        self._blob = blob
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for."""
        data = self._blob.read(self._at, min(len(buffer), max(0, self._blob.size - self._at)))
        self.allowance -= len(data)
        if self.allowance < 0:
            raise TooLarge(f"{self._blob.name} spreads over more bytes than an image of its size can need.")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
