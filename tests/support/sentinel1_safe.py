"""Sentinel-1 products in SAFE layout: a small synthetic one, or a real one with simulated pixels."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
