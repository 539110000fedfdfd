"""Calibration: real annotation of Sentinel-1 against SciPy, vendors' factors, and what is refused."""

from __future__ import annotations

import json
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from conftest import SAMPLES
from imagery.blobs import BytesBlob, encoded, geotiff, raster_of
from sarlens.errors import CalibrationMissing, ImageNotFound
from sarlens.imagery.annotation import MAX_BYTES, read_sentinel1
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.calibration import Sentinel1, by_header
from sarlens.imagery.data import Data
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.pictures import Pictures
from sarlens.imagery.radiometry import detect
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.render import develop
from sarlens.imagery.safe import annotation_places
from sarlens.imagery.source import Blob, HeldBlob, Sources, content_version
from sarlens.metrics import Metrics
from sarlens.request import ANYBODY, Calibration, Render, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
GAINS: dict[Calibration, str] = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma"}
WINDOWS = [Window(0, 0, 40, 30), Window(8700, 5000, 90, 70), Window(17540, 16600, 60, 50), Window(25500, 3, 50, 20)]


def numbers(text: str, name: str) -> list[list[float]]:
    """All lists of numbers of that name in XML, read without a parser."""
    return [
        [float(each) for each in found.split()] for found in re.findall(rf"<{name}(?: [^>]*)?>([^<]*)</{name}>", text)
    ]


def gridded(text: str, vectors: str, field: str, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[Any]:
    """A table of the XML at rows and columns, by SciPy; the table has to be a regular grid."""
    part = text[text.index(f"<{vectors}") : text.index(f"</{vectors}>")]
    lines = [line[0] for line in numbers(part, "line")]
    pixels = numbers(part, "pixel")
    assert all(each == pixels[0] for each in pixels)
    table = RegularGridInterpolator((lines, pixels[0]), np.array(numbers(part, field)))
    grid = np.meshgrid(np.clip(rows, None, lines[-1]), np.clip(cols, None, pixels[0][-1]), indexing="ij")
    found: NDArray[Any] = table(np.stack(grid, axis=-1))
    return found


def noise_by_scipy(text: str, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[Any]:
    """Thermal noise of either kind of annotation, pixel by pixel along azimuth."""
    if "<noiseVectorList" in text:
        return gridded(text, "noiseVectorList", "noiseLut", rows, cols)
    noise = gridded(text, "noiseRangeVectorList", "noiseRangeLut", rows, cols)
    for vector in re.findall(r"<noiseAzimuthVector>.*?</noiseAzimuthVector>", text, re.DOTALL):
        first, last, left, right = (
            numbers(vector, name)[0][0]
            for name in ("firstAzimuthLine", "lastAzimuthLine", "firstRangeSample", "lastRangeSample")
        )
        lines, values = numbers(vector, "line")[0], numbers(vector, "noiseAzimuthLut")[0]
        for i, row in enumerate(rows):
            for j, col in enumerate(cols):
                if first <= row <= last and left <= col <= right:
                    noise[i, j] *= np.interp(row, lines, values)
    return noise


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
    tables = read_sentinel1(BytesBlob(xml[0]), BytesBlob(xml[1]), wanted)
    for window in WINDOWS:
        power = power_of(window)
        rows, cols = window.row + np.arange(window.height), window.col + np.arange(window.width)
        gain = gridded(xml[0].decode(), "calibrationVectorList", GAINS[wanted], rows, cols)
        noise = noise_by_scipy(xml[1].decode(), rows, cols)
        assert noise.max() > 0
        expected = np.maximum(power.pixels[0].astype(float) - noise, noise / 10) / gain**2
        np.testing.assert_allclose(tables.calibrate(power).pixels[0], expected, rtol=2e-6)


def annotation(kind: str, *, lines: str = "0 50 100", last: int = 200, values: str = "2 4") -> bytes:
    """Annotation of a small image: two pixels a line."""
    field = {"calibration": "sigmaNought", "noise": "noiseLut"}[kind]
    vectors = "".join(
        f"<{kind}Vector><line>{line}</line><pixel>0 {last}</pixel><{field}>{values}</{field}></{kind}Vector>"
        for line in lines.split()
    )
    return f"<{kind}><{kind}VectorList>{vectors}</{kind}VectorList></{kind}>".encode()


def tables(calibration: bytes, noise: bytes) -> Sentinel1:
    """The tables of two annotations for sigma0."""
    return read_sentinel1(BytesBlob(calibration), BytesBlob(noise), "sigma0")


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


SAFE = "s3://scenes/2021/S1A_X.SAFE"


@pytest.mark.parametrize(
    ("url", "calibration"),
    [
        (
            f"{SAFE}/measurement/s1a-iw-grd-vv-001.tiff",
            (f"{SAFE}/annotation/calibration/calibration-s1a-iw-grd-vv-001.xml",),
        ),
        (
            f"{SAFE}/measurement/s1a-001-cog.tiff",
            tuple(f"{SAFE}/annotation/calibration/calibration-s1a-001{end}.xml" for end in ("", "-cog")),
        ),
        ("https://e.com/p/measurement/iw-vh.tif", ("https://e.com/p/annotation/calibration/calibration-iw-vh.xml",)),
        ("s3://scenes/port.tif", None),
        ("s3://scenes/measurement/a/b.tiff", None),
        ("s3://scenes/measurement/..%2F..%2Fb.tiff", None),
        ("s3://scenes/measurement/../b.tiff", None),
        ("s3://scenes/x/measurement/b.tiff?versionId=1", None),
        ("https://e.com/measurement/b.tiff?Signature=1", None),
        ("data:image/tiff;base64,measurement/b.tiff", None),
    ],
)
def test_annotation_is_looked_for_in_the_same_product(url: str, calibration: tuple[str, ...] | None) -> None:
    """The place of annotation follows from that of the measurement, and never leaves its product."""
    found = annotation_places(url)
    assert (found and found[0]) == calibration


class Shelf:
    """A source that holds objects by URL."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    async def open(self, url: str) -> Blob:
        """The object."""
        if url not in self.objects:
            raise ImageNotFound(f"{url} is not there.")
        data = self.objects[url]
        return HeldBlob(url, content_version(data), data)


async def test_a_product_in_a_bucket_is_calibrated() -> None:
    """A measurement is drawn with the annotation beside it; other annotation is another picture, none is refused."""
    dn = np.random.default_rng(0).integers(100, 999, (100, 200)).astype(np.uint16)
    name, folder = f"{SAFE}/measurement/s1a-vv.tiff", f"{SAFE}/annotation/calibration/"
    shelf = Shelf({name: geotiff(dn)})
    with ThreadPoolExecutor(1) as threads:
        cache: ByteLRU[str, Any] = ByteLRU(2**20, weigh=lambda each: 1)
        pictures = Pictures(Sources({"s3": shelf}, Data(0)), cache, threads, Limits(), Metrics())
        with pytest.raises(CalibrationMissing, match="calibration-s1a-vv"):
            await pictures.find(name, Render(calibration="sigma0"), 448, ANYBODY)
        shelf.objects[f"{folder}calibration-s1a-vv.xml"] = annotation("calibration", values="2 40")
        with pytest.raises(CalibrationMissing, match="noise-s1a-vv"):
            await pictures.find(name, Render(calibration="sigma0"), 448, ANYBODY)
        shelf.objects[f"{folder}noise-s1a-vv.xml"] = annotation("noise")
        plain = await pictures.show(name, None, 448, ANYBODY)
        calibrated = await pictures.show(name, Render(calibration="sigma0"), 448, ANYBODY)
        shelf.objects[f"{folder}noise-s1a-vv.xml"] = annotation("noise", values="9 9")
        again = await pictures.find(name, Render(calibration="sigma0"), 448, ANYBODY)
    assert len({plain.id, calibrated.id, again.id}) == 3
    assert plain.data != calibrated.data


CAPELLA = {"collect": {"image": {"scale_factor": 0.01, "radiometry": "sigma_nought"}}}


@pytest.mark.parametrize(
    ("tags", "wanted", "factor"),
    [
        ({"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)}, "sigma0", 1e-4),
        ({"PRODUCT_NAME": "ICEYE_GRD_1", "CALIBRATION_FACTOR": "3.5e-08"}, "sigma0", 3.5e-8),
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


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_no_digital_number_is_not_calibrated(dtype: type) -> None:
    """Pictures, power and decibels have no factor, whatever tags stand beside them."""
    tags = {"": {"TIFFTAG_IMAGEDESCRIPTION": json.dumps(CAPELLA)}}
    raster = raster_of(geotiff(np.full((8, 8), 7, dtype=dtype), tags=tags))
    with pytest.raises(CalibrationMissing, match="digital numbers"):
        develop(raster, Render(calibration="sigma0"), 448)
    with pytest.raises(CalibrationMissing):
        decode(BytesBlob(encoded(np.ones((8, 8), dtype=np.uint8))), Render(calibration="sigma0"), 448, Limits())
