"""Sentinel-1 products in SAFE layout: a small one made up, or a real one whose pixels are simulated."""

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
"""A product by the paths of its files."""


def annotation(kind: str, *, lines: str = "0 50 100", last: int = 200, values: str = "2 4") -> bytes:
    """Calibration or noise of a small image: two pixels a line; of calibration the coefficients differ by factors."""
    if kind == "noise":
        fields = f"<noiseLut>{values}</noiseLut>"
    else:
        doubled, halved = (" ".join(_times(each, factor) for each in values.split()) for factor in (2, 0.5))
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
    """The annotation of a product, as far as it says whether its noise has been removed."""
    said = f"<thermalNoiseCorrectionPerformed>{denoised}</thermalNoiseCorrectionPerformed>"
    inner = f"<processingInformation>{said}</processingInformation>"
    return f"<product><imageAnnotation>{inner}</imageAnnotation></product>".encode()


def manifest(paths: list[str]) -> bytes:
    """A manifest that lists measurements."""
    objects = "".join(
        f'<dataObject ID="m{at}" repID="s1Level1MeasurementSchema"><byteStream>'
        f'<fileLocation locatorType="URL" href="{path}"/></byteStream></dataObject>'
        for at, path in enumerate(paths)
    )
    return f"<XFDU><dataObjectSection>{objects}</dataObjectSection></XFDU>".encode()


def measurement(pixels: NDArray[Any], **more: Any) -> bytes:
    """A measurement as Sentinel-1 stores it: no affine, ground control points along the edges and between."""
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
    """A product of images by ``swath-kind-polarisation``, such as ``iw-grd-vv``; ``cog`` as a COG-SAFE is named.

    The noise of a second image is another than that of the first.
    """
    files: Files = {}
    for at, (name, pixels) in enumerate(images.items(), start=1):
        stem = f"s1a-{name}-20210119t031653-20210119t031718-036201-043ed0-{at:03}"
        files[f"measurement/{stem}{'-cog' if cog else ''}.tiff"] = measurement(pixels)
        files[f"annotation/{stem}.xml"] = product_annotation(denoised)
        reach = {"lines": f"0 {pixels.shape[0]}", "last": pixels.shape[1]}
        files[f"annotation/calibration/calibration-{stem}.xml"] = annotation("calibration", **reach)
        noise = f"{at * 400} {at * 900}"
        files[f"annotation/calibration/noise-{stem}.xml"] = annotation("noise", values=noise, **reach)
    listed = [f"./{path}" for path in files if path.startswith("measurement/")]
    return files | {"manifest.safe": manifest(listed)}


def real_product(archive: Path, pixels: Mapping[str, NDArray[Any]], *, cog: bool = False) -> tuple[str, Files]:
    """The name and files of a real product, with simulated pixels by polarisation, such as ``vv``.

    Manifest and annotation are those of the archive; a COG-SAFE keeps them and renames the measurements.
    """
    with zipfile.ZipFile(archive) as held:
        name = held.namelist()[0].partition("/")[0]
        kept = [path for path in held.namelist() if re.search(r"/manifest\.safe$|/annotation/.*\.xml$", path)]
        files = {path.partition("/")[2]: held.read(path) for path in kept}
    stems = [path for path in files if re.fullmatch(r"annotation/[^/]*\.xml", path)]
    for path in stems:
        stem = path.removeprefix("annotation/").removesuffix(".xml")
        image = pixels[stem.split("-")[3]]
        tiled = {"tiled": True, "compress": "deflate"} if cog else {}
        files[f"measurement/{stem}{'-cog' if cog else ''}.tiff"] = measurement(image, **tiled)
    return (name.replace(".SAFE", "_COG.SAFE") if cog else name), files
