"""Sentinel-1 annotation: real tables against SciPy, noise along range and azimuth, and damaged files."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagery.annotation_oracle import GAINS, gridded, noise_by_scipy
from imagery.calibration_fixtures import annotation_files, luts, power_of
from sarlens.errors import CalibrationMissing
from sarlens.imagery.calibration.sentinel1 import read_calibration_luts
from sarlens.imagery.core.xml import MAX_BYTES
from sarlens.types.render_params import Calibration
from sarlens.types.window import Window
from support.sar_samples import SAMPLES
from support.sentinel1_safe import annotation, product_annotation

WINDOWS = [Window(0, 0, 40, 30), Window(8700, 5000, 90, 70), Window(17540, 16600, 60, 50), Window(25500, 3, 50, 20)]


def read_product(year: int, polarization: str) -> tuple[bytes, bytes]:
    """Return the calibration and the noise annotation of a real product.

    The noise of IPF 2.36 is 0. It is replaced by positive numbers on the same grid.
    """
    with zipfile.ZipFile(next(SAMPLES.glob(f"S1A_IW_GRDH_1SDV_{year}*.zip"))) as archive:

        def read(kind: str) -> bytes:
            pattern = rf".*/annotation/calibration/{kind}-.*-{polarization}-.*\.xml"
            return archive.read(next(path for path in archive.namelist() if re.fullmatch(pattern, path)))

        noise = iter(range(900, 10**9))
        return read("calibration"), re.sub(
            rb"(?<![\d.])0\.0+e\+00", lambda _: b"%d" % (next(noise) % 7919), read("noise")
        )


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the radar samples aren't next to this repository")
@pytest.mark.parametrize("year", [2015, 2021])
@pytest.mark.parametrize("polarization", ["vv", "vh"])
@pytest.mark.parametrize("coefficient", ["sigma0", "beta0", "gamma0"])
def test_real_annotation_calibrates_as_scipy_does(year: int, polarization: str, coefficient: Calibration) -> None:
    """For IPF 2.x and 3.x, (|DN|² - noise) / A² agrees with SciPy's interpolation to single precision."""
    calibration, noise = read_product(year, polarization)
    tables = read_calibration_luts(annotation_files(calibration, noise), coefficient)
    for window in WINDOWS:
        power = power_of(window)
        rows, cols = window.row + np.arange(window.height), window.col + np.arange(window.width)
        gain = gridded(calibration.decode(), "calibrationVectorList", GAINS[coefficient], rows, cols)
        eta = noise_by_scipy(noise.decode(), rows, cols)
        assert eta.max() > 0
        expected = np.maximum(power.pixels[0].astype(float) - eta, eta / 10) / gain**2
        np.testing.assert_allclose(tables.calibrate(power).pixels[0], expected, rtol=2e-6)


@pytest.mark.parametrize(("coefficient", "factor"), [("sigma0", 1), ("beta0", 2), ("gamma0", 0.5)])
def test_each_coefficient_has_its_own_gain(coefficient: Calibration, factor: float) -> None:
    """The gain is ``sigmaNought``, ``betaNought`` or ``gamma``, on the lines and pixels of the annotation."""
    gain = luts(annotation("calibration"), annotation("noise"), coefficient).gain
    assert gain.azimuth_lines.tolist() == [0, 50, 100]
    assert [pixels.tolist() for pixels in gain.range_pixels] == [[0, 200]] * 3
    assert [values.tolist() for values in gain.values] == [[2 * factor, 4 * factor]] * 3


def ipf3_noise(bounds: str) -> bytes:
    """Return noise annotation with vectors along range, and one block along azimuth."""
    vectors = "".join(
        f"<noiseRangeVector><line>{line}</line><pixel>0 200</pixel><noiseRangeLut>10 30</noiseRangeLut>"
        "</noiseRangeVector>"
        for line in (0, 100)
    )
    azimuth = f"<line>0 100</line><noiseAzimuthLut>1 3</noiseAzimuthLut>{bounds}"
    return (
        f"<noise><noiseRangeVectorList>{vectors}</noiseRangeVectorList><noiseAzimuthVectorList><noiseAzimuthVector>"
        f"{azimuth}</noiseAzimuthVector></noiseAzimuthVectorList></noise>"
    ).encode()


BOUNDS = (
    "<firstAzimuthLine>20</firstAzimuthLine><lastAzimuthLine>60</lastAzimuthLine>"
    "<firstRangeSample>50</firstRangeSample><lastRangeSample>120</lastRangeSample>"
)


def test_noise_is_the_product_of_range_and_azimuth_noise() -> None:
    """Inside its bounds, both ends included, a block multiplies the range noise; without bounds, everywhere."""
    lines, pixels = np.array([10, 19, 20, 60, 61]), np.array([49, 50, 120, 121])
    along_range, along_azimuth = 10 + 20 * pixels / 200, 1 + 2 * lines / 100
    everywhere = np.outer(along_azimuth, along_range)
    block = np.where(np.outer([0, 0, 1, 1, 0], [0, 1, 1, 0]), everywhere, along_range)
    for bounds, expected in (("", everywhere), (BOUNDS, block)):
        noise = luts(annotation("calibration"), ipf3_noise(bounds)).noise
        assert noise is not None
        np.testing.assert_allclose(noise.at(lines.astype(float), pixels.astype(float)), expected)


@pytest.mark.parametrize("flag", ["true", "false"])
def test_removed_noise_is_read_from_the_product_annotation(flag: str) -> None:
    """``thermalNoiseCorrectionPerformed`` decides whether noise is subtracted."""
    noise = luts(annotation("calibration"), annotation("noise"), product=product_annotation(flag)).noise
    assert noise is not None
    assert noise.is_removed is (flag == "true")


@pytest.mark.parametrize("product", [product_annotation("maybe"), b"<product/>"])
def test_a_product_annotation_without_the_noise_flag_is_rejected(product: bytes) -> None:
    """The gateway never assumes whether the noise has been removed."""
    with pytest.raises(CalibrationMissing, match="doesn't state whether the thermal noise"):
        luts(annotation("calibration"), annotation("noise"), product=product)


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
        (annotation("calibration", lines="0 50 50"), annotation("noise")),
        (annotation("calibration", lines="0 1e3"), annotation("noise")),
        (annotation("calibration", last=0), annotation("noise")),
        (annotation("calibration"), ipf3_noise("").replace(b"<line>0 100</line>", b"<line>100 0</line>")),
        (annotation("calibration"), ipf3_noise("").replace(b"<line>0 100</line>", b"<line>0</line>")),
        (annotation("calibration"), ipf3_noise("").replace(b"<line>0 100</line>", b"")),
    ],
)
def test_unusable_annotation_is_rejected(calibration: bytes, noise: bytes) -> None:
    """Damaged, hostile, empty or too large annotation is an error, and no entity is expanded."""
    with pytest.raises(CalibrationMissing):
        luts(calibration, noise)


@given(st.binary(max_size=300) | st.text("<>/ano0 \"'=!&;", max_size=200).map(str.encode))
def test_random_bytes_give_only_our_error(data: bytes) -> None:
    """Any bytes in place of annotation are rejected with CalibrationMissing."""
    for pair in ((data, annotation("noise")), (annotation("calibration"), data)):
        with pytest.raises(CalibrationMissing):
            luts(*pair)
