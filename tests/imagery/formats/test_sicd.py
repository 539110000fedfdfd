"""SICD in NITF, written by sarkit, and its projection compared with sarkit's."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyval2d
from numpy.typing import NDArray
from sarkit.sicd import image_to_constant_hae_surface
from sarkit.wgs84 import cartesian_to_geodetic

from imagery.object_fixtures import RecordingReader, raster_of
from sarlens.errors import (
    BandNotFound,
    CalibrationMissing,
    NotGeoreferenced,
    PayloadTooLarge,
    SarlensError,
    UnsupportedImage,
    WindowOutOfBounds,
)
from sarlens.imagery.calibration.models import calibration_from_header
from sarlens.imagery.core.radiometry import detect
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.formats.reader import DecodeLimits, locate_window, read_extent, read_image
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.sicd import HEIGHT, LAT, LON, SPACING, metadata, sicd

SHAPE = (300, 400)


def samples(shape: tuple[int, int] = SHAPE) -> NDArray[np.complex64]:
    """Return complex speckle."""
    random = np.random.default_rng(0)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64) * 100


IMAGE = samples()
FILE = sicd(IMAGE)


def test_a_window_is_read_by_rows() -> None:
    """The samples of a window are exact; only its 20 rows and about six pages of headers are fetched."""
    reader = RecordingReader(FILE)
    raster = read_image(reader, RenderParams(window=(30, 200, 50, 20)), 448, DecodeLimits())
    assert isinstance(raster, Raster)
    assert (raster.bands, raster.quantity, raster.window) == (("VV",), Quantity.COMPLEX, (30, 200, 50, 20))
    np.testing.assert_array_equal(raster.pixels[0], IMAGE[200:220, 30:80])
    assert reader.bytes_fetched < 20 * 400 * 8 + 6 * 64 * 1024 < len(FILE)


def test_integers_and_bytes_are_complex() -> None:
    """Samples of 16-bit integers are exact; of bytes of amplitude and phase, amplitudes are those of the table."""
    parts = np.zeros(SHAPE, dtype=[("real", "i2"), ("imag", "i2")])
    parts["real"], parts["imag"] = IMAGE.real, IMAGE.imag
    raster = raster_of(sicd(parts, "RE16I_IM16I"))
    np.testing.assert_array_equal(raster.pixels[0], parts["real"] + 1j * parts["imag"].astype(np.float32))
    polar = np.zeros(SHAPE, dtype=[("amp", "u1"), ("phase", "u1")])
    polar["amp"] = np.arange(400) % 256
    table = "".join(f'<Amplitude index="{index}">{index * 2.5}</Amplitude>' for index in range(256))
    for extra, times in (("", 1), (f'<AmpTable size="256">{table}</AmpTable>', 2.5)):
        power = detect(raster_of(sicd(polar, "AMP8I_PHS8I", extra=extra))).pixels[0]
        np.testing.assert_allclose(power[0], (np.arange(400) % 256 * times) ** 2, rtol=1e-6)


def test_scale_factors_are_polynomials_of_meters() -> None:
    """sigma0 is |sample|² times the polynomial of meters from the scene center point; without one it's relative."""
    coefficients = np.array([[2e-4, 1e-7], [3e-7, 2e-10]])
    raster = raster_of(sicd(IMAGE, factors={"sigma0": coefficients}), window=(100, 50, 200, 220))
    calibrated = calibration_from_header(raster, "sigma0").calibrate(detect(raster))
    rows, cols = np.meshgrid(50 + np.arange(220), 100 + np.arange(200), indexing="ij")
    factor = polyval2d((rows - 150) * SPACING, (cols - 200) * SPACING, coefficients)
    power = np.abs(IMAGE[50:270, 100:300].astype(complex)) ** 2
    np.testing.assert_allclose(calibrated.pixels[0], power * factor, rtol=1e-5)
    for other in (raster, raster_of(FILE)):
        with pytest.raises(CalibrationMissing, match="relative"):
            render(other, RenderParams(calibration="beta0"), 448)
    falling = raster_of(sicd(IMAGE, factors={"beta0": np.array([[1e-4], [-1e-4]])}))
    with pytest.raises(CalibrationMissing, match="positive"):
        render(falling, RenderParams(calibration="beta0"), 448)


def test_looks_are_means_of_power() -> None:
    """Cells of 2 x 3 samples have their mean |sample|²."""
    raster = raster_of(FILE, looks=(2, 3))
    power = np.abs(IMAGE.astype(complex)) ** 2
    assert (raster.quantity, raster.quantity_before_detection) == (Quantity.INTENSITY, Quantity.COMPLEX)
    np.testing.assert_allclose(raster.pixels[0], power.reshape(100, 3, 200, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_the_georeference_follows_the_sicd_projection() -> None:
    """Positions between control points are within 0.01 pixels of sarkit's projection to the height of the scene."""
    extent = read_extent(RecordingReader(FILE), DecodeLimits())
    assert extent is not None
    assert extent.georeference is not None
    assert (extent.width, extent.height) == (400, 300)
    lon, lat = extent.georeference.pixel_to_lonlat(np.array([200.5]), np.array([150.5]))
    np.testing.assert_allclose([lon[0], lat[0]], [LON, LAT], atol=1e-8)
    cols, rows = np.random.default_rng(1).uniform(0, [[400], [300]], (2, 50))
    distances = np.stack([rows - 0.5 - 150, cols - 0.5 - 200], axis=-1) * SPACING
    ground, _, _ = image_to_constant_hae_surface(metadata(SHAPE, "RE32F_IM32F", {}), distances, HEIGHT)
    geodetic = cartesian_to_geodetic(ground)
    pixel_cols, pixel_rows = extent.georeference.lonlat_to_pixel(geodetic[:, 1], geodetic[:, 0])
    assert np.hypot(pixel_cols - cols, pixel_rows - rows).max() < 0.01
    west, east = sorted(extent.georeference.pixel_to_lonlat(np.array([150.0, 250.0]), np.array([100.0, 200.0]))[0])
    south, north = sorted(extent.georeference.pixel_to_lonlat(np.array([150.0, 250.0]), np.array([100.0, 200.0]))[1])
    window = locate_window(
        RecordingReader(FILE), RenderParams(bbox=(float(west), float(south), float(east), float(north))), DecodeLimits()
    )
    assert Window(150, 100, 100, 100).pixels <= window.pixels < Window(0, 0, 400, 300).pixels
    assert window.col <= 150 <= 250 <= window.col + window.width
    assert window.row <= 100 <= 200 <= window.row + window.height


def test_a_sicd_without_a_usable_projection_has_no_georeference() -> None:
    """If metadata of the projection is missing or wrong, the image has no georeference, rather than a wrong one."""
    broken = FILE.replace(b"<SideOfTrack>R", b"<SideOfTrack>x")
    extent = read_extent(RecordingReader(broken), DecodeLimits())
    assert extent is not None
    assert extent.georeference is None
    with pytest.raises(NotGeoreferenced):
        locate_window(RecordingReader(broken), RenderParams(bbox=(4, 51, 5, 52)), DecodeLimits())


def test_without_sarkit_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway without sarkit rejects a NITF, and names the extra to install."""
    monkeypatch.setitem(sys.modules, "sarkit.sicd", None)
    with pytest.raises(UnsupportedImage, match="extra sicd"):
        raster_of(FILE)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"NITF02.10", UnsupportedImage),
        (FILE[:500], UnsupportedImage),
        (FILE[: len(FILE) // 2], UnsupportedImage),
        (FILE.replace(b"urn:SICD", b"urn:NONE"), UnsupportedImage),
        (FILE.replace(b"<NumRows>300", b"<NumRows>999"), UnsupportedImage),
        (FILE.replace(b"<NumRows>300", b"<NumRows>0  "), UnsupportedImage),
        (FILE.replace(b"<NumRows>300", b"<NumRows>x1 "), UnsupportedImage),
        (FILE.replace(b"<SICD xmlns", b"<!DOCTYPE x"), UnsupportedImage),
        (FILE.replace(b"RE32F_IM32F</", b"RE99F_IM32F</"), UnsupportedImage),
    ],
)
def test_damaged_and_other_files_are_rejected(data: bytes, error: type[SarlensError]) -> None:
    """Truncated files, other NITFs, metadata of another size or with a document type are errors."""
    assert data != FILE
    with pytest.raises(error):
        render(raster_of(data), RenderParams(), 448)


def test_limits_count_whole_rows() -> None:
    """With a limit of 50 rows, a window of 51 is rejected before it's fetched; so are missing bands and windows."""
    small = DecodeLimits(window_pixels=400 * 50)
    assert raster_of(FILE, limits=small, window=(0, 0, 10, 50)).shape == (50, 10)
    reader = RecordingReader(FILE)
    with pytest.raises(PayloadTooLarge, match=r"fetching 20400 pixels .* limit is 20000.*fewer rows"):
        read_image(reader, RenderParams(window=(0, 0, 10, 51)), 448, small)
    assert reader.bytes_fetched < 6 * 64 * 1024
    assert raster_of(FILE, limits=DecodeLimits(scene_pixels=120_000)).shape == (300, 400)
    with pytest.raises(PayloadTooLarge, match="declares 400 x 300 pixels; the limit is 119999"):
        raster_of(FILE, limits=DecodeLimits(scene_pixels=119_999))
    with pytest.raises(BandNotFound, match="VV"):
        raster_of(FILE, bands=("VH",))
    with pytest.raises(WindowOutOfBounds):
        raster_of(FILE, window=(0, 0, 401, 1))


@given(st.lists(st.tuples(st.integers(0, 3999), st.integers(0, 255)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_damaged_headers_give_a_raster_or_our_error(changes: list[tuple[int, int]]) -> None:
    """With any bytes of the headers changed, the reader returns a raster or raises SarlensError."""
    data: Any = bytearray(FILE)
    for offset, value in changes:
        data[offset] = value
    with suppress(SarlensError):
        raster_of(bytes(data), window=(0, 0, 8, 8))


def test_a_header_that_spreads_over_the_file_is_bounded() -> None:
    """With 100,000 bytes for headers, at most two more 64 KiB pages are fetched before the file is rejected."""
    reader = RecordingReader(FILE)
    with pytest.raises(PayloadTooLarge, match="more bytes than an image of its size needs"):
        read_image(reader, RenderParams(), 448, DecodeLimits(header_bytes=100_000))
    assert 100_000 < reader.bytes_fetched <= 64 * 1024 + 100_000 + 64 * 1024


def test_metadata_over_the_limit_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """XML of more bytes than the limit isn't parsed."""
    monkeypatch.setattr("sarlens.imagery.formats.sicd.MAX_BYTES", 100)
    with pytest.raises(PayloadTooLarge, match=r"metadata of .* the limit is 100"):
        raster_of(FILE)
