"""Sentinel-1 products in SAFE layout: a small synthetic one, or a real one with simulated pixels."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile

Files = dict[str, bytes]
"""Files of a product, by path."""

SAFE = "s3://scenes/2021/S1A_X.SAFE"


def digital_numbers(seed: int, shape: tuple[int, int] = (100, 200)) -> NDArray[np.uint16]:
    """Digital numbers of speckle."""
    return np.random.default_rng(seed).integers(100, 999, shape).astype(np.uint16)


VV, VH = digital_numbers(0), digital_numbers(1)
DUAL = {"iw-grd-vh": VH, "iw-grd-vv": VV}
"""Images of a product with two polarizations, VH first."""


def annotation(kind: str, *, lines: str = "0 50 100", last: int = 200, values: str = "2 4") -> bytes:
    """Return a calibration or noise annotation (``kind``) with two pixels per line, 0 and ``last``.

    ``values`` are those of sigma nought or noise; beta nought is twice and gamma half as large.
    """
    if kind == "noise":
        fields = f"<noiseLut>{values}</noiseLut>"
    else:
        doubled, halved = (" ".join(_times(value, factor) for value in values.split()) for factor in (2, 0.5))
        fields = f"<sigmaNought>{values}</sigmaNought><betaNought>{doubled}</betaNought><gamma>{halved}</gamma>"
    vectors = "".join(
        f"<{kind}Vector><line>{line}</line><pixel>0 {last}</pixel>{fields}</{kind}Vector>" for line in lines.split()
    )
    return f"<{kind}><{kind}VectorList>{vectors}</{kind}VectorList></{kind}>".encode()


def _times(number: str, factor: float) -> str:
    try:
        return str(float(number) * factor)
    except ValueError:
        return number


def product_annotation(denoised: str = "false") -> bytes:
    """Return a product annotation that holds only the flag of thermal noise correction."""
    flag = f"<thermalNoiseCorrectionPerformed>{denoised}</thermalNoiseCorrectionPerformed>"
    inner = f"<processingInformation>{flag}</processingInformation>"
    return f"<product><imageAnnotation>{inner}</imageAnnotation></product>".encode()


class Bursts(NamedTuple):
    """The bursts of a simulated swath: ``number`` of ``lines`` lines, each ``step`` lines after the one before."""

    number: int = 3
    lines: int = 40
    step: int = 30
    margin: int = 3
    """Lines without a valid sample at the start and the end of each burst."""

    @property
    def scene_lines(self) -> int:
        """Lines of the ground that the swath shows, with the margins at its start and end."""
        return self.step * (self.number - 1) + self.lines

    def stack(self, scene: NDArray[Any]) -> NDArray[np.complex64]:
        """Return the measurement of a scene: bursts one below the other, whose imaginary part is their number."""
        stacked = np.zeros((self.number, self.lines, scene.shape[1]), np.complex64)
        valid = slice(self.margin, self.lines - self.margin)
        for index in range(self.number):
            lines = scene[index * self.step : index * self.step + self.lines]
            stacked[index, valid] = lines[valid] + 1j * (index + 1)
        return stacked.reshape(-1, scene.shape[1])

    def annotation(self, samples: int, interval_s: float = 0.002) -> bytes:
        """Return the product annotation: times and valid samples of the bursts, and a geolocation grid."""
        origin = np.datetime64("2021-01-19T03:16:53.000000")

        def time(line: float) -> str:
            return str(origin + np.timedelta64(round(line * interval_s * 1e6), "us"))

        first = [529 if self.margin <= line < self.lines - self.margin else -1 for line in range(self.lines)]
        texts = f"<firstValidSample count='{self.lines}'>{' '.join(map(str, first))}</firstValidSample>"
        bursts = "".join(
            f"<burst><azimuthTime>{time(index * self.step)}</azimuthTime>{texts}</burst>"
            for index in range(self.number)
        )
        points = "".join(
            f"<geolocationGridPoint><azimuthTime>{time(line)}</azimuthTime><line>-1</line><pixel>{pixel}</pixel>"
            f"<latitude>{52 - line * 1e-4 + pixel * 2e-6}</latitude><longitude>{4 + pixel * 1e-4 + line * 1e-6}"
            "</longitude></geolocationGridPoint>"
            for line in np.linspace(0, self.scene_lines, 5)
            for pixel in np.linspace(0, samples, 4)
        )
        sizes = f"<linesPerBurst>{self.lines}</linesPerBurst><samplesPerBurst>{samples}</samplesPerBurst>"
        timing = f"<swathTiming>{sizes}<burstList count='{self.number}'>{bursts}</burstList></swathTiming>"
        grid = f"<geolocationGridPointList>{points}</geolocationGridPointList>"
        step = f"<imageInformation><azimuthTimeInterval>{interval_s}</azimuthTimeInterval></imageInformation>"
        flag = "<thermalNoiseCorrectionPerformed>false</thermalNoiseCorrectionPerformed>"
        image = f"<imageAnnotation>{step}<processingInformation>{flag}</processingInformation></imageAnnotation>"
        return f"<product>{image}{timing}<geolocationGrid>{grid}</geolocationGrid></product>".encode()


def slc_product(bursts: Bursts, scene: NDArray[Any], **more: Any) -> Files:
    """Return an SLC product of one swath with bursts; ``more`` are options of its measurement."""
    files = small_product({"iw1-slc-vv": bursts.stack(scene)})
    (path,) = (path for path in files if path.startswith("measurement/"))
    (xml,) = (path for path in files if path.startswith("annotation/s1a"))
    strips = {"blockysize": 1, "tiled": False} | more
    return files | {path: measurement(bursts.stack(scene), **strips), xml: bursts.annotation(scene.shape[1])}


def manifest(paths: list[str]) -> bytes:
    """Return a manifest that lists measurements."""
    objects = "".join(
        f'<dataObject ID="m{index}" repID="s1Level1MeasurementSchema"><byteStream>'
        f'<fileLocation locatorType="URL" href="{path}"/></byteStream></dataObject>'
        for index, path in enumerate(paths)
    )
    return f"<XFDU><dataObjectSection>{objects}</dataObjectSection></XFDU>".encode()


def measurement(pixels: NDArray[Any], **more: Any) -> bytes:
    """Encode a measurement as Sentinel-1 does: a grid of ground control points and no affine transform."""
    rows, cols = pixels.shape
    gcps = [
        GroundControlPoint(row=row, col=col, x=4 + col * 1e-4 + row * 1e-6, y=52 - row * 1e-4 + col * 2e-6, z=0)
        for row in np.linspace(0, rows, 4)
        for col in np.linspace(0, cols, 5)
    ]
    stored = "complex_int16" if pixels.dtype.kind == "c" else pixels.dtype.name
    profile = {"driver": "GTiff", "count": 1, "height": rows, "width": cols, "dtype": stored} | more
    with MemoryFile() as file:
        with file.open(**profile) as dataset:
            dataset.gcps = (gcps, "EPSG:4326")
            dataset.write(pixels, 1)
        return bytes(file.read())


def small_product(images: Mapping[str, NDArray[Any]], *, cog: bool = False, denoised: str = "false") -> Files:
    """Return a product of images by ``swath-type-polarization``, such as ``iw-grd-vv``.

    With ``cog``, files have the names of a COG-SAFE. The noise differs between images.
    """
    files: Files = {}
    for number, (name, pixels) in enumerate(images.items(), start=1):
        stem = f"s1a-{name}-20210119t031653-20210119t031718-036201-043ed0-{number:03}"
        files[f"measurement/{stem}{'-cog' if cog else ''}.tiff"] = measurement(pixels)
        files[f"annotation/{stem}.xml"] = product_annotation(denoised)
        extent = {"lines": f"0 {pixels.shape[0]}", "last": pixels.shape[1]}
        files[f"annotation/calibration/calibration-{stem}.xml"] = annotation("calibration", **extent)
        noise = f"{number * 400} {number * 900}"
        files[f"annotation/calibration/noise-{stem}.xml"] = annotation("noise", values=noise, **extent)
    listed = [f"./{path}" for path in files if path.startswith("measurement/")]
    return files | {"manifest.safe": manifest(listed)}


def real_product(archive: Path, pixels: Mapping[str, NDArray[Any]], *, cog: bool = False) -> tuple[str, Files]:
    """Return the name and files of a real product, with simulated pixels by polarization, such as ``vv``.

    Manifest and annotations are those of the archive. A COG-SAFE keeps them and renames the measurements.
    """
    with zipfile.ZipFile(archive) as product:
        name = product.namelist()[0].partition("/")[0]
        kept = [path for path in product.namelist() if re.search(r"/manifest\.safe$|/annotation/.*\.xml$", path)]
        files = {path.partition("/")[2]: product.read(path) for path in kept}
    stems = [path for path in files if re.fullmatch(r"annotation/[^/]*\.xml", path)]
    for path in stems:
        stem = path.removeprefix("annotation/").removesuffix(".xml")
        image = pixels[stem.split("-")[3]]
        tiled = {"tiled": True, "compress": "deflate"} if cog else {}
        files[f"measurement/{stem}{'-cog' if cog else ''}.tiff"] = measurement(image, **tiled)
    return (name.replace(".SAFE", "_COG.SAFE") if cog else name), files
