"""An opened image: one file, or the measurements of a product."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.stac import Acquisition
from sarlens.types.image_request import ImageLocation


class NoiseAnnotation(NamedTuple):
    """The XML files that define the thermal noise in the pixels of one measurement of a Sentinel-1 product."""

    vectors: ObjectReader
    """Noise vectors."""
    product: ObjectReader
    """Product annotation, which states whether the processor has removed the noise."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """The XML files that calibrate one measurement of a Sentinel-1 product."""

    calibration: ObjectReader
    """Calibration vectors."""
    noise: NoiseAnnotation | None = None
    """Files about the noise; None if the noise is kept."""

    @property
    def objects(self) -> tuple[ObjectReader, ...]:
        """All files."""
        return (self.calibration, *(self.noise or ()))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One file of pixels."""

    reader: ObjectReader
    """The file."""
    band: str | None = None
    """Polarization of the only band, if the file's name defines it and not the file's header."""
    annotation: Annotation | None = None
    """Files for calibration, if calibration is requested and the file belongs to a Sentinel-1 product."""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """The opened files of an image: one file, or files of the same size with one band each."""

    name: str
    """URL as the caller wrote it, without query and credentials; safe to show."""
    measurements: tuple[Measurement, ...]
    """Files in band order."""
    location: ImageLocation
    """URL or bytes of the image, or the URLs of its bands; if a STAC Item was requested, the URL of the selected asset.
    If several assets are its bands, the URL of the Item, or the Item."""
    index_objects: tuple[ObjectReader, ...] = ()
    """STAC Item and product manifest that were read to find the measurements."""
    acquisition: Acquisition | None = None
    """Acquisition metadata of the STAC Item."""
    swath: str | None = None
    """Swath of the product that has the image."""
    swaths: tuple[str, ...] = ()
    """All swaths of the product."""
    orbit_direction: str | None = None
    """``ascending`` or ``descending``, of the product."""
    polarizations: tuple[str, ...] = ()
    """Polarizations of the swath in the product."""
    bands: tuple[str, ...] = ()
    """Names of all bands, if the image isn't a product and each band has its own file."""

    @property
    def version(self) -> str:
        """Version of the pixels: equal versions have equal pixels."""
        versions = [measurement.reader.version for measurement in self.measurements]
        return versions[0] if len(versions) == 1 else f"product:{sha256(' '.join(versions).encode()).hexdigest()}"

    @property
    def georeferencing_file(self) -> ObjectReader:
        """The file whose header defines size and georeference."""
        return self.measurements[0].reader

    @property
    def objects(self) -> tuple[ObjectReader, ...]:
        """All files that define the rendered image: pixels, then annotation."""
        pixels = tuple(measurement.reader for measurement in self.measurements)
        annotations = (measurement.annotation for measurement in self.measurements)
        return pixels + tuple(reader for annotation in annotations if annotation for reader in annotation.objects)
