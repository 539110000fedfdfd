"""SICD in NITF, written and projected by sarkit."""

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

from imagery.blobs import BytesBlob, raster_of
from sarlens.errors import (
    BandMissing,
    CalibrationMissing,
    NotGeoreferenced,
    SarlensError,
    TooLarge,
    UnsupportedImage,
    WindowOutside,
)
from sarlens.imagery.calibration import by_header
from sarlens.imagery.decode import Limits, decode, lay_out, locate
from sarlens.imagery.radiometry import detect
from sarlens.imagery.raster import Quantity
from sarlens.imagery.render import develop
from sarlens.request import Render, Window
from stack.sicd import HEIGHT, LAT, LON, SPACING, metadata, sicd

SHAPE = (300, 400)


def samples(shape: tuple[int, int] = SHAPE) -> NDArray[np.complex64]:
    """Complex speckle."""
    random = np.random.default_rng(0)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64) * 100


IMAGE = samples()
FILE = sicd(IMAGE)


def test_a_window_of_a_sicd_is_read_by_rows() -> None:
    """Exactly its samples, big-endian as they lie, and no more of the file than its rows and headers."""
    blob = BytesBlob(FILE)
    raster = decode(blob, Render(window=(30, 200, 50, 20)), 448, Limits())
    assert raster_of(FILE).bands == ("VV",)
    assert not isinstance(raster, bytes)
    np.testing.assert_array_equal(raster.pixels[0], IMAGE[200:220, 30:80])  # type: ignore[union-attr]
    assert blob.moved < 20 * 400 * 8 + 6 * 64 * 1024 < len(FILE)


def test_integers_and_bytes_are_complex_too() -> None:
    """Samples of 16-bit parts; of amplitude and phase in bytes the amplitude, by the table where there is one."""
    parts = np.zeros(SHAPE, dtype=[("real", "i2"), ("imag", "i2")])
    parts["real"], parts["imag"] = IMAGE.real, IMAGE.imag
    found = raster_of(sicd(parts, "RE16I_IM16I"))
    np.testing.assert_array_equal(found.pixels[0], parts["real"] + 1j * parts["imag"].astype(np.float32))
    polar = np.zeros(SHAPE, dtype=[("amp", "u1"), ("phase", "u1")])
    polar["amp"] = np.arange(400) % 256
    table = "".join(f'<Amplitude index="{at}">{at * 2.5}</Amplitude>' for at in range(256))
    for extra, times in (("", 1), (f'<AmpTable size="256">{table}</AmpTable>', 2.5)):
        power = detect(raster_of(sicd(polar, "AMP8I_PHS8I", extra=extra))).pixels[0]
        np.testing.assert_allclose(power[0], (np.arange(400) % 256 * times) ** 2, rtol=1e-6)


def test_scale_factors_calibrate_as_their_polynomials_say() -> None:
    """sigma0 = |sample|² times the polynomial in metres from the scene centre point; without one it is relative."""
    coefficients = np.array([[2e-4, 1e-7], [3e-7, 2e-10]])
    raster = raster_of(sicd(IMAGE, factors={"sigma0": coefficients}), window=(100, 50, 200, 220))
    found = by_header(raster, "sigma0").calibrate(detect(raster))
    rows, cols = np.meshgrid(50 + np.arange(220), 100 + np.arange(200), indexing="ij")
    factor = polyval2d((rows - 150) * SPACING, (cols - 200) * SPACING, coefficients)
    np.testing.assert_allclose(found.pixels[0], np.abs(IMAGE[50:270, 100:300].astype(complex)) ** 2 * factor, rtol=1e-5)
    for other in (raster, raster_of(FILE)):
        with pytest.raises(CalibrationMissing, match="relative"):
            develop(other, Render(calibration="beta0"), 448)
    falling = raster_of(sicd(IMAGE, factors={"beta0": np.array([[1e-4], [-1e-4]])}))
    with pytest.raises(CalibrationMissing, match="above zero"):
        develop(falling, Render(calibration="beta0"), 448)


def test_looks_of_a_sicd_are_means_of_power() -> None:
    """Averaged in one piece, or in strips where the window is large."""
    found = raster_of(FILE, looks=(2, 3))
    power = np.abs(IMAGE.astype(complex)) ** 2
    assert (found.quantity, found.detected) == (Quantity.INTENSITY, Quantity.COMPLEX)
    np.testing.assert_allclose(found.pixels[0], power.reshape(100, 3, 200, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_a_sicd_lies_where_its_projection_says() -> None:
    """Between control points within a hundredth of a pixel of sarkit's own projection to the height of the scene."""
    layout = lay_out(BytesBlob(FILE), Limits())
    assert layout is not None
    assert layout.place is not None
    assert (layout.width, layout.height) == (400, 300)
    lon, lat = layout.place.lonlat(np.array([200.5]), np.array([150.5]))
    np.testing.assert_allclose([lon[0], lat[0]], [LON, LAT], atol=1e-8)
    cols, rows = np.random.default_rng(1).uniform(0, [[400], [300]], (2, 50))
    distances = np.stack([rows - 0.5 - 150, cols - 0.5 - 200], axis=-1) * SPACING
    ground, _, _ = image_to_constant_hae_surface(metadata(SHAPE, "RE32F_IM32F", {}), distances, HEIGHT)
    places = cartesian_to_geodetic(ground)
    back = layout.place.pixels(places[:, 1], places[:, 0])
    assert np.hypot(back[0] - cols, back[1] - rows).max() < 0.01
    west, east = sorted(layout.place.lonlat(np.array([150.0, 250.0]), np.array([100.0, 200.0]))[0])
    south, north = sorted(layout.place.lonlat(np.array([150.0, 250.0]), np.array([100.0, 200.0]))[1])
    found = locate(BytesBlob(FILE), Render(bbox=(float(west), float(south), float(east), float(north))), Limits())
    assert Window(150, 100, 100, 100).pixels <= found.pixels < Window(0, 0, 400, 300).pixels


def test_a_sicd_without_a_usable_projection_has_no_place() -> None:
    """What the projection needs may be missing or wrong: then there is no place on the map, and never a wrong one."""
    broken = FILE.replace(b"<SideOfTrack>R", b"<SideOfTrack>x")
    layout = lay_out(BytesBlob(broken), Limits())
    assert layout is not None
    assert layout.place is None
    with pytest.raises(NotGeoreferenced):
        locate(BytesBlob(broken), Render(bbox=(4, 51, 5, 52)), Limits())


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway without sarkit refuses a NITF, and names the extra."""
    monkeypatch.setitem(sys.modules, "sarkit.sicd", None)
    with pytest.raises(UnsupportedImage, match=r"sarlens\[sicd\]"):
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
def test_what_is_no_whole_sicd_is_refused(data: bytes, error: type[SarlensError]) -> None:
    """Cut short, of another kind, with metadata of another size or a document type: a reason, never pixels."""
    assert data != FILE
    with pytest.raises(error):
        develop(raster_of(data), Render(), 448)


def test_limits_and_parts_hold_for_sicd() -> None:
    """Rows are whole, so a window of many is refused before it is fetched; so are other bands and places."""
    small = Limits(window_pixels=400 * 50)
    assert raster_of(FILE, limits=small, window=(0, 0, 10, 50)).shape == (50, 10)
    blob = BytesBlob(FILE)
    with pytest.raises(TooLarge, match="fewer rows"):
        decode(blob, Render(window=(0, 0, 10, 51)), 448, small)
    assert blob.moved < 6 * 64 * 1024
    with pytest.raises(TooLarge, match="declares"):
        raster_of(FILE, limits=Limits(scene_pixels=1000))
    with pytest.raises(BandMissing, match="VV"):
        raster_of(FILE, bands=("VH",))
    with pytest.raises(WindowOutside):
        raster_of(FILE, window=(0, 0, 401, 1))


@given(st.lists(st.tuples(st.integers(0, 3999), st.integers(0, 255)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_no_bytes_break_the_reader(changes: list[tuple[int, int]]) -> None:
    """Whatever stands in the headers: pixels, or a reason."""
    data: Any = bytearray(FILE)
    for at, value in changes:
        data[at] = value
    with suppress(SarlensError):
        raster_of(bytes(data), window=(0, 0, 8, 8))
