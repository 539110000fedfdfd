"""An image that has been opened: one file, or the measurements of a product."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from sarlens.imagery.source import Blob


@dataclass(frozen=True, slots=True)
class Annotation:
    """The files beside a measurement of Sentinel-1 that calibrate it."""

    calibration: Blob
    noise: Blob
    product: Blob

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All of them."""
        return self.calibration, self.noise, self.product


@dataclass(frozen=True, slots=True)
class Measurement:
    """A file with pixels. ``band`` is the polarisation that all of it is, where its name and not its header says so."""

    blob: Blob
    band: str | None = None
    annotation: Annotation | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """What pictures of an image are drawn from: a file, or files of the same size that hold one band each.

    ``name`` is what the caller calls it, safe to show.
    """

    name: str
    measurements: tuple[Measurement, ...]

    @property
    def version(self) -> str:
        """Identifies the pixels: equal versions have equal pixels."""
        versions = [each.blob.version for each in self.measurements]
        return versions[0] if len(versions) == 1 else f"product:{sha256(' '.join(versions).encode()).hexdigest()}"

    @property
    def first(self) -> Blob:
        """The file that tells size and place."""
        return self.measurements[0].blob

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All files that pictures are drawn from."""
        pixels = tuple(each.blob for each in self.measurements)
        return pixels + tuple(blob for each in self.measurements if each.annotation for blob in each.annotation.blobs)
