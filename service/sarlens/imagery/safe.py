"""Sentinel-1 products in SAFE layout: which measurements there are, and where their annotation stands.

Source: Sentinel-1 Product Specification, S1-RS-MDA-52-7441, for the manifest and the names of files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sarlens.errors import BadRequest, UnsupportedImage
from sarlens.imagery.bands import Bands
from sarlens.imagery.blob import Blob
from sarlens.imagery.markup import read_xml
from sarlens.request import Band

MANIFEST = "manifest.safe"
_PRODUCT = re.compile(r"((?:s3|https)://[^?#]+?)(?:/manifest\.safe|(?<=\.safe)/?)", re.IGNORECASE)
_MEASUREMENT = re.compile(
    r"(?P<product>(?:s3|https)://[^?#]+/)measurement/(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*?)(?P<cog>-cog)?\.tiff?",
    re.IGNORECASE,
)
_LISTED = re.compile(r"(?:\./)?(measurement/[A-Za-z0-9][A-Za-z0-9_-]*\.tiff?)", re.IGNORECASE)
_KNOWN = re.compile(r"measurement/s1[a-z]-(?P<swath>[a-z0-9]+)-(?:grd|slc)-(?P<band>vv|vh|hh|hv)-.*", re.IGNORECASE)
_SCHEMA = "s1Level1MeasurementSchema"


class AnnotationPlaces(NamedTuple):
    """URLs of a measurement's annotation, each with where else it may stand."""

    calibration: tuple[str, ...]
    noise: tuple[str, ...]
    product: tuple[str, ...]


def product_folder(url: str) -> str | None:
    """The folder of a product, with a slash at its end, where a URL is that folder or the manifest in it.

    A folder without ``manifest.safe`` in its URL has to be called ``….SAFE``. None for all other URLs, among them
    those with a query, which opens one object alone.
    """
    found = _PRODUCT.fullmatch(url)
    return found and f"{found[1]}/"


def annotation_folder(url: str) -> str | None:
    """The folder that holds all annotation of a measurement, with a slash at its end; None as ``annotation_places``."""
    found = _MEASUREMENT.fullmatch(url)
    return found and f"{found['product']}annotation/"


def annotation_places(url: str) -> AnnotationPlaces | None:
    """Where the annotation of a measurement stands.

    ``…/measurement/NAME.tiff`` has ``…/annotation/NAME.xml`` and, in ``…/annotation/calibration/``,
    ``calibration-NAME.xml`` and ``noise-NAME.xml``, also where NAME was made a COG and got ``-cog`` at its end. None
    where the URL is not of that form: other names, and URLs with a query, which opens that one object alone. What is
    named lies in the same product.
    """
    found = _MEASUREMENT.fullmatch(url)
    if found is None:
        return None
    folder, name = f"{found['product']}annotation/", found["name"]
    ends = ("", "-cog") if found["cog"] else ("",)
    kinds = ("calibration/calibration-", "calibration/noise-", "")
    return AnnotationPlaces(*(tuple(f"{folder}{kind}{name}{end}.xml" for end in ends) for kind in kinds))


class Listed(NamedTuple):
    """A measurement of a manifest: its path in the product, its swath and its polarisation."""

    path: str
    swath: str
    band: str

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it may stand: products that were made COGs kept the names in their manifests, or did not."""
        stem, dot, end = self.path.rpartition(".")
        return (self.path,) if stem.lower().endswith("-cog") else (self.path, f"{stem}-cog{dot}{end}")


@dataclass(frozen=True, slots=True)
class Product:
    """The measurements that a manifest lists; ``name`` is the URL of its folder."""

    name: str
    measurements: tuple[Listed, ...]

    @property
    def swaths(self) -> tuple[str, ...]:
        """The names of the swaths, in order."""
        return tuple(sorted({each.swath for each in self.measurements}))

    def pick(self, swath: str | None, bands: Sequence[Band] | None) -> tuple[Listed, ...]:
        """The measurements that bands mean, one each: those asked for, else VV or HH.

        Raises:
            BadRequest: the swath has to be named, is not there, or holds several images of one polarisation.
            BandMissing: the product has no such polarisation.
        """
        there = self._of_swath(swath)
        names = Bands.named([[each.band] for each in there])
        return tuple(there[at] for at in (names.pick(bands) if bands else (names.default(),)))

    def _of_swath(self, swath: str | None) -> list[Listed]:
        if swath is None and len(self.swaths) > 1:
            first, names = self.swaths[0], ", ".join(self.swaths)
            raise BadRequest(
                f'The product holds the swaths {names}. Name one, such as "swath": "{first}".', param="sar.swath"
            )
        there = [each for each in self.measurements if swath is None or each.swath == swath.upper()]
        if not there:
            raise BadRequest(
                f"The product has no swath {swath!r}. It holds {', '.join(self.swaths)}.", param="sar.swath"
            )
        if len({each.band for each in there}) < len(there):
            raise BadRequest(
                f"The swath {there[0].swath} of the product holds {len(there)} images. Name one by its own URL, such "
                f"as {self.name}{there[0].path}",
                param="sar.swath",
            )
        return there


def read_manifest(blob: Blob, folder: str) -> Product:
    """The measurements of the product whose manifest this is, co-polarised before cross-polarised.

    Raises:
        UnsupportedImage: it is damaged, names files outside its folder, or no measurement of GRD or SLC.
        SarlensError: whatever reading the blob raises.
    """
    listed = []
    for item in read_xml(blob, UnsupportedImage).findall("dataObjectSection/dataObject"):
        if item.get("repID") != _SCHEMA:
            continue
        place = item.find("byteStream/fileLocation")
        found = _LISTED.fullmatch("" if place is None else place.get("href", ""))
        if found is None:
            raise UnsupportedImage(f"{blob.name} names a measurement that is not in its own folder.")
        known = _KNOWN.fullmatch(found[1])
        if known is not None:
            listed.append(Listed(found[1], known["swath"].upper(), known["band"].upper()))
    if not listed:
        raise UnsupportedImage(f"{blob.name} lists no measurement of a Sentinel-1 GRD or SLC product.")
    return Product(
        folder, tuple(sorted(listed, key=lambda each: (each.swath, each.band[0] != each.band[1], each.path)))
    )
