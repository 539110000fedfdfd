"""Calibration: real annotation of Sentinel-1 against SciPy, vendors' factors, and what is refused."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import SAMPLES
from imagery.annotation_oracle import GAINS, gridded, noise_by_scipy
from imagery.blobs import BytesBlob, encoded, geotiff, raster_of
from sarlens.errors import CalibrationMissing
from sarlens.imagery.annotation import read_sentinel1
from sarlens.imagery.calibration import Sentinel1, by_header
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.markup import MAX_BYTES
from sarlens.imagery.original import Annotation
from sarlens.imagery.radiometry import detect
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.render import develop
from sarlens.imagery.source import HeldBlob, content_version
from sarlens.request import Calibration, Render, Window
from stack.safe import annotation, product_annotation

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WINDOWS = [Window(0, 0, 40, 30), Window(8700, 5000, 90, 70), Window(17540, 16600, 60, 50), Window(25500, 3, 50, 20)]


def product(year: int, polarisation: str) -> tuple[bytes, bytes]:
    """The calibration and the noise annotation of a real product.

    IPF 2.36 annotates noise of zero: numbers of some size are put in its place, on the grid that is there.
    """
    with zipfile.ZipFile(next(SAMPLES.glob(f"S1A_IW_GRDH_1SDV_{year}*.zip"))) as held:

        def one(kind: str) -> bytes:
            pattern = rf".*/annotation/calibration/{kind}-.*-{polarisation}-.*\.xml"
            return held.read(next(name for name in held.namelist() if re.fullmatch(pattern, name)))

        noise = iter(range(900, 10**9))
        return one("calibration"), re.sub(
            rb"(?<![\d.])0\.0+e\+00", lambda _: b"%d" % (next(noise) % 7919), one("noise")
        )


def beside(calibration: bytes, noise: bytes, product: bytes | None = None) -> Annotation:
    """Annotation as it stands beside a measurement; the product's own says that the noise is still in it."""
    files = (calibration, noise, product_annotation() if product is None else product)
    return Annotation(*(HeldBlob("s3://scenes/x.xml", content_version(data), data) for data in files))


def power_of(window: Window, shape: tuple[int, int] | None = None) -> Raster:
    """Speckled power of digital numbers, some of it below the noise."""
    pixels = np.random.default_rng(1).exponential(40_000, (1, *(shape or (window.height, window.width))))
    valid = np.ones(pixels.shape[1:], dtype=bool)
    return Raster(pixels.astype(np.float32), valid, ("VV",), Quantity.INTENSITY, window)


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are not beside this repository")
@pytest.mark.parametrize("year", [2015, 2021])
@pytest.mark.parametrize("polarisation", ["vv", "vh"])
@pytest.mark.parametrize("wanted", ["sigma0", "beta0", "gamma0"])
def test_real_annotation_calibrates_as_scipy_does(year: int, polarisation: str, wanted: Calibration) -> None:
    """IPF 2.x and 3.x: (|DN|² - noise) / A² agrees with tables that SciPy interpolates, to single precision."""
    xml = product(year, polarisation)
    tables = read_sentinel1(beside(*xml), wanted)
    for window in WINDOWS:
        power = power_of(window)
        rows, cols = window.row + np.arange(window.height), window.col + np.arange(window.width)
        gain = gridded(xml[0].decode(), "calibrationVectorList", GAINS[wanted], rows, cols)
        noise = noise_by_scipy(xml[1].decode(), rows, cols)
        assert noise.max() > 0
        expected = np.maximum(power.pixels[0].astype(float) - noise, noise / 10) / gain**2
        np.testing.assert_allclose(tables.calibrate(power).pixels[0], expected, rtol=2e-6)


def tables(calibration: bytes, noise: bytes) -> Sentinel1:
    """The tables of two annotations for sigma0."""
    return read_sentinel1(beside(calibration, noise), "sigma0")


def test_cells_of_many_pixels_are_calibrated_at_their_centre() -> None:
    """A cell of ten by ten pixels gets the values between its fifth and sixth pixel; noise leaves a tenth of itself."""
    power = replace(power_of(Window(0, 0, 200, 100), (10, 20)), pixels=np.full((1, 10, 20), 10, dtype=np.float32))
    found = tables(annotation("calibration"), annotation("noise", values="1 1")).calibrate(power)
    gain = 2 + 2 * (np.arange(20) * 10 + 4.5) / 200
    np.testing.assert_allclose(found.pixels[0], np.tile(9 / gain**2, (10, 1)), rtol=1e-6)
    dark = tables(annotation("calibration", values="2 2"), annotation("noise", values="20 20")).calibrate(power)
    np.testing.assert_allclose(dark.pixels, 2 / 4)


BOMB = b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><calibration>&c;</calibration>'
FILE = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><calibration>&b;</calibration>'


@pytest.mark.parametrize(
    ("calibration", "noise"),
    [
        (b"", annotation("noise")),
        (b"<a", annotation("noise")),
        (b"<a/>", annotation("noise")),
        (BOMB, annotation("noise")),
        (annotation("calibration"), FILE),
        (annotation("calibration"), b"<noise/>"),
        (b" " * (MAX_BYTES + 1), annotation("noise")),
        (annotation("calibration", values="2"), annotation("noise")),
        (annotation("calibration", values="2 nan"), annotation("noise")),
        (annotation("calibration", values="2 -4"), annotation("noise")),
        (annotation("calibration", values="2 x"), annotation("noise")),
        (annotation("calibration", lines="0 100 50"), annotation("noise")),
        (annotation("calibration", lines="0 1e3"), annotation("noise")),
        (annotation("calibration", last=0), annotation("noise")),
    ],
)
def test_annotation_that_cannot_be_used_is_refused(calibration: bytes, noise: bytes) -> None:
    """Damaged, hostile, empty or too large: never a guess, and no entity is expanded."""
    with pytest.raises(CalibrationMissing):
        tables(calibration, noise)


def test_annotation_of_a_smaller_image_is_refused() -> None:
    """Tables that end before the window does belong to another image; so do gains of zero."""
    found = tables(annotation("calibration", lines="0 10 20"), annotation("noise"))
    with pytest.raises(CalibrationMissing, match="another image"):
        found.calibrate(power_of(Window(0, 0, 100, 60)))
    with pytest.raises(CalibrationMissing, match="zeros"):
        tables(annotation("calibration", values="0 0"), annotation("noise")).calibrate(power_of(Window(0, 0, 9, 9)))


@given(st.binary(max_size=300) | st.text("<>/ano0 \"'=!&;", max_size=200).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever is found where annotation should be is refused with a reason."""
    for pair in ((data, annotation("noise")), (annotation("calibration"), data)):
        with pytest.raises(CalibrationMissing):
            tables(*pair)


ICEYE = {"PRODUCT_NAME": "ICEYE_GRD_1", "CALIBRATION_FACTOR": "3.5e-08"}


def mapped(exponent: float, scale: float) -> dict[str, Any]:
    """How new ICEYE products say that amplitudes were mapped to digital numbers."""
    parameters = {"exponent": exponent, "scale": scale}
    return {"iceye:amplitude_mapping": {"function": "power", "parameters": parameters}}


CAPELLA = {"collect": {"image": {"scale_factor": 0.01, "radiometry": "sigma_nought"}}}


@pytest.mark.parametrize(
    ("tags", "wanted", "factor"),
    [
        ({"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)}, "sigma0", 1e-4),
        (ICEYE, "sigma0", 3.5e-8),
        ({"ICEYE_PROPERTIES": json.dumps({"iceye:calibration_factor": 3.5e-8})}, "sigma0", 3.5e-8),
        ({"ICEYE_PROPERTIES": json.dumps({"iceye:calibration_factor": 8e-8} | mapped(1, 2))}, "sigma0", 2e-8),
    ],
)
def test_vendors_factors_calibrate(tags: dict[str, str], wanted: Calibration, factor: float) -> None:
    """Capella's factor is in amplitude and ICEYE's in power; the other coefficients are not made up."""
    dn = np.random.default_rng(0).integers(1, 9999, (32, 32)).astype(np.uint16)
    raster = raster_of(geotiff(dn, tags={"": tags}))
    found = by_header(raster, wanted).calibrate(detect(raster))
    np.testing.assert_allclose(found.pixels[0], dn.astype(float) ** 2 * factor, rtol=1e-6)
    assert develop(raster, Render(calibration=wanted), 448).width == 32
    with pytest.raises(CalibrationMissing, match=wanted):
        develop(raster, Render(calibration="gamma0"), 448)


def test_a_window_that_is_read_in_strips_is_calibrated() -> None:
    """What was averaged while it was read is still power of digital numbers."""
    dn = np.random.default_rng(0).integers(1, 9999, (2200, 2000)).astype(np.uint16)
    raster = raster_of(geotiff(dn, tags={"": ICEYE}, tiled=True))
    assert raster.quantity is Quantity.INTENSITY
    found = by_header(raster, "sigma0").calibrate(detect(raster))
    expected = (dn.astype(float) ** 2).reshape(1100, 2, 1000, 2).mean(axis=(1, 3)) * 3.5e-8
    np.testing.assert_allclose(found.pixels[0], expected, rtol=1e-5)
    assert develop(raster, Render(calibration="sigma0"), 448).width == 407


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are not beside this repository")
def test_a_real_iceye_header_is_understood() -> None:
    """The factor of the real header."""
    raster = raster_of(next(SAMPLES.glob("ICEYE_GRD*")).read_bytes())
    assert raster.factors == {"sigma0": 3.939204325311276e-08}


@pytest.mark.parametrize(
    "description",
    ["{", "{}", "[]", '{"collect": 1}', '{"collect": {"image": {"scale_factor": "x", "radiometry": "sigma_nought"}}}']
    + [json.dumps({"collect": {"image": {"scale_factor": f, "radiometry": "sigma_nought"}}}) for f in (0, 1e300, None)]
    + [json.dumps({"collect": {"image": {"scale_factor": 1, "radiometry": r}}}) for r in ("x", "7")],
)
def test_headers_that_say_nothing_calibrate_nothing(description: str) -> None:
    """A product without usable factors, such as Umbra's, stays relative, and a coefficient of it is refused."""
    raster = raster_of(geotiff(np.ones((8, 8), dtype=np.uint16), tags={"": {"TIFFTAG_IMAGEDESCRIPTION": description}}))
    assert raster.factors == {}
    with pytest.raises(CalibrationMissing, match="relative"):
        develop(raster, Render(calibration="sigma0"), 448)


@pytest.mark.parametrize(
    "properties",
    [
        {"iceye:calibration_factor": 1e-8} | mapped(0.25, 1),
        {"iceye:calibration_factor": 1e-8} | mapped(1, 0),
        {"iceye:calibration_factor": 1e-8, "iceye:amplitude_mapping": {"function": "logarithm"}},
        {"iceye:calibration_factor": "x"},
        {"iceye:calibration_factor": [1]},
        {},
        [],
    ],
)
def test_iceye_amplitudes_that_were_bent_are_relative(properties: Any) -> None:
    """A factor counts for amplitudes alone: where they were mapped by another power the header calibrates nothing."""
    raster = raster_of(
        geotiff(np.ones((8, 8), dtype=np.uint16), tags={"": {"ICEYE_PROPERTIES": json.dumps(properties)}})
    )
    assert raster.factors == {}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_no_digital_number_is_not_calibrated(dtype: type) -> None:
    """Pictures, power and decibels have no factor, whatever tags stand beside them."""
    tags = {"": {"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)}}
    raster = raster_of(geotiff(np.full((8, 8), 7, dtype=dtype), tags=tags))
    with pytest.raises(CalibrationMissing, match="digital numbers"):
        develop(raster, Render(calibration="sigma0"), 448)
    with pytest.raises(CalibrationMissing):
        decode(BytesBlob(encoded(np.ones((8, 8), dtype=np.uint8))), Render(calibration="sigma0"), 448, Limits())
