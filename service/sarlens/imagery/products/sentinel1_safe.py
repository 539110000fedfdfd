"""Sentinel-1 products in SAFE layout: their measurements, and the URLs of their annotation.

Source: Sentinel-1 Product Specification, S1-RS-MDA-52-7441, for the manifest and the file names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sarlens.errors import BadRequest, UnsupportedImage
from sarlens.imagery.core.bands import Bands
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.core.xml import read_xml
from sarlens.types.render_params import Band

MANIFEST = "manifest.safe"
_PRODUCT_URL = re.compile(r"((?:s3|https)://[^?#]+?)(?:/manifest\.safe|(?<=\.safe)/?)", re.IGNORECASE)
_MEASUREMENT_URL = re.compile(
    r"(?P<product>(?:s3|https)://[^?#]+/)measurement/(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*?)(?P<cog>-cog)?\.tiff?",
    re.IGNORECASE,
)
_MEASUREMENT_PATH = re.compile(r"(?:\./)?(measurement/[A-Za-z0-9][A-Za-z0-9_-]*\.tiff?)", re.IGNORECASE)
_LEVEL1_PATH = re.compile(
    r"measurement/s1[a-z]-(?P<swath>[a-z0-9]+)-(?:grd|slc)-(?P<band>vv|vh|hh|hv)-.*", re.IGNORECASE
)
_BURSTS_NAME = re.compile(r"s1[a-z]-(?:iw|ew)\d-slc-.*", re.IGNORECASE)
_MAX_DIGITS = 3
"""Digits of a number of looks."""
_SCHEMA = "s1Level1MeasurementSchema"


class AnnotationUrls(NamedTuple):
    """URLs of a measurement's annotation files, each with its alternatives."""

    calibration: tuple[str, ...]
    """Calibration vectors."""
    noise: tuple[str, ...]
    """Noise vectors."""
    product: tuple[str, ...]
    """Product annotation."""


def parse_safe_url(url: str) -> str | None:
    """The URL of a product's folder, with a slash at the end, from the URL of the folder or of its manifest.

    A folder without ``manifest.safe`` in its URL must have a name that ends in ``.SAFE``. For all other URLs the
    result is None; a URL with a query opens a single object.
    """
    match = _PRODUCT_URL.fullmatch(url)
    return match and f"{match[1]}/"


def annotation_folder(url: str) -> str | None:
    """The folder of a measurement's annotation, with a slash at the end; None as in ``annotation_urls``."""
    match = _MEASUREMENT_URL.fullmatch(url)
    return match and f"{match['product']}annotation/"


def annotation_urls(url: str) -> AnnotationUrls | None:
    """The URLs of a measurement's annotation, all in the same product.

    ``…/measurement/NAME.tiff`` has ``…/annotation/NAME.xml``, and in ``…/annotation/calibration/`` the files
    ``calibration-NAME.xml`` and ``noise-NAME.xml``. If the file was converted to a COG and its name ends in ``-cog``,
    the annotation can have either name. The result is None for URLs of another form and for URLs with a query.
    """
    match = _MEASUREMENT_URL.fullmatch(url)
    if match is None:
        return None
    folder, name = f"{match['product']}annotation/", match["name"]
    suffixes = ("", "-cog") if match["cog"] else ("",)
    prefixes = ("calibration/calibration-", "calibration/noise-", "")
    return AnnotationUrls(*(tuple(f"{folder}{prefix}{name}{suffix}.xml" for suffix in suffixes) for prefix in prefixes))


def has_bursts(url: str) -> bool:
    """Whether the name of a measurement is that of an IW or EW SLC, whose swaths consist of bursts."""
    return _BURSTS_NAME.fullmatch(url.rpartition("/")[2]) is not None


class ManifestEntry(NamedTuple):
    """A measurement in a manifest."""

    path: str
    """Path in the product."""
    swath: str
    """Swath, such as ``IW`` or ``IW1``."""
    band: str
    """Polarization."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Possible paths: some products that were converted to COGs keep the original names in their manifest."""
        stem, dot, suffix = self.path.rpartition(".")
        return (self.path,) if stem.lower().endswith("-cog") else (self.path, f"{stem}-cog{dot}{suffix}")


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """The measurements of a manifest."""

    name: str
    """URL of the folder."""
    measurements: tuple[ManifestEntry, ...]
    """Measurements by swath, co-polarized before cross-polarized."""
    orbit_direction: str | None = None
    """``ascending`` or ``descending``."""

    @property
    def swaths(self) -> tuple[str, ...]:
        """The names of the swaths, in order."""
        return tuple(sorted({entry.swath for entry in self.measurements}))

    def polarizations(self, swath: str) -> tuple[str, ...]:
        """The polarizations of a swath, co-polarized first."""
        return tuple(dict.fromkeys(entry.band for entry in self.measurements if entry.swath == swath))

    def select(
        self, swath: str | None, bands: Sequence[Band] | None, *, any_swath: bool = False
    ) -> tuple[ManifestEntry, ...]:
        """The measurements of the requested bands, else that of VV or HH.

        With ``any_swath``, those of the first swath if none is named.

        Raises:
            BadRequest: a swath must be named, doesn't exist, or has several images of one polarization.
            BandNotFound: the product has no such polarization.
        """
        entries = self._of_swath(self.swaths[0] if any_swath and swath is None else swath)
        names = Bands.named([[entry.band] for entry in entries])
        return tuple(entries[index] for index in (names.indexes(bands) if bands else (names.default_index(),)))

    def _of_swath(self, swath: str | None) -> list[ManifestEntry]:
        if swath is None and len(self.swaths) > 1:
            first, names = self.swaths[0], ", ".join(self.swaths)
            raise BadRequest(
                f'The product has the swaths {names}. Select one, such as "swath": "{first}".', param="sar.swath"
            )
        entries = [entry for entry in self.measurements if swath is None or entry.swath == swath.upper()]
        if not entries:
            raise BadRequest(f"The product has no swath {swath!r}. It has {', '.join(self.swaths)}.", param="sar.swath")
        if len({entry.band for entry in entries}) < len(entries):
            raise BadRequest(
                f"The swath {entries[0].swath} of the product has {len(entries)} images. Use the URL of one, such as "
                f"{self.name}{entries[0].path}",
                param="sar.swath",
            )
        return entries


def read_manifest(reader: ObjectReader, folder: str) -> SafeProduct:
    """Parse a manifest. Blocks.

    Args:
        reader: the manifest.
        folder: URL of the product's folder, with a slash at the end.

    Raises:
        UnsupportedImage: the manifest is invalid, names files outside its folder, or lists no GRD or SLC measurement.
        SarlensError: the object can't be read.
    """
    entries = []
    root = read_xml(reader, UnsupportedImage)
    for data_object in root.findall("dataObjectSection/dataObject"):
        if data_object.get("repID") != _SCHEMA:
            continue
        location = data_object.find("byteStream/fileLocation")
        path = _MEASUREMENT_PATH.fullmatch("" if location is None else location.get("href", ""))
        if path is None:
            raise UnsupportedImage(f"{reader.name} lists a measurement outside the product's folder.")
        level1 = _LEVEL1_PATH.fullmatch(path[1])
        if level1 is not None:
            entries.append(ManifestEntry(path[1], level1["swath"].upper(), level1["band"].upper()))
    if not entries:
        raise UnsupportedImage(f"{reader.name} lists no measurement of a Sentinel-1 GRD or SLC product.")
    entries.sort(key=lambda entry: (entry.swath, entry.band[0] != entry.band[1], entry.path))
    orbit_pass = (root.findtext("metadataSection//{*}orbitProperties/{*}pass") or "").strip().lower()
    return SafeProduct(folder, tuple(entries), orbit_pass if orbit_pass in {"ascending", "descending"} else None)


def read_looks(annotation: ObjectReader, swath: str) -> tuple[int, int] | None:
    """Read the numbers of looks in range and azimuth of a swath from a product annotation. Blocks.

    A GRD of several swaths has one entry for each, of which the first is read. The result is None if there is none.

    Raises:
        UnsupportedImage: the annotation isn't valid XML.
        SarlensError: the object can't be read.
    """
    root = read_xml(annotation, UnsupportedImage)
    params = root.findall("imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    of_swath = [element for element in params if element.findtext("swath") == swath] or params[:1]
    texts = [
        element.findtext(f"{direction}Processing/numberOfLooks") or ""
        for element in of_swath[:1]
        for direction in ("range", "azimuth")
    ]
    if len(texts) != 2 or not all(text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS for text in texts):
        return None
    return int(texts[0]), int(texts[1])
