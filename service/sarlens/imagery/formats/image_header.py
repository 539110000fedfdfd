"""What the header of an image states: size, bands, resolutions and position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sarlens.types.render_params import Calibration

if TYPE_CHECKING:  # GDAL isn't imported at the start
    from sarlens.imagery.geo.georeference import Georeference

_MAX_TAGS, _MAX_TAG_CHARS = 256, 256


class Level(NamedTuple):
    """A resolution at which an image can be read."""

    overview: int | None
    """Index of the overview, or None for the full resolution."""
    width: int
    """Pixels in a row."""
    height: int
    """Pixels in a column."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of one file of an image."""

    width: int
    """Pixels in a row."""
    height: int
    """Pixels in a column."""
    bands: tuple[str, ...]
    """Label of each band."""
    data_type: str
    """NumPy name of the type of the pixels, such as ``uint16``; complex integers are ``complex64``."""
    overviews: tuple[Level, ...] = ()
    """Overviews that can be read in place of the image, in the order of the file."""
    block_shape: tuple[int, int] = (1, 1)
    """Rows and columns of a tile or strip."""
    has_sparse_rows: bool = False
    """Whether a reduced view reads only some of the rows."""
    calibrations: tuple[Calibration, ...] = ()
    """Backscatter coefficients that the header itself calibrates to."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the file."""
    georeference: Georeference | None = None
    """Georeference, or None if the image has none that can be used."""
    reason: str = ""
    """Reason in words if there is no georeference."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """All resolutions, from the full one to the coarsest."""
        overviews = sorted(self.overviews, key=lambda level: -level.width)
        return (Level(None, self.width, self.height), *overviews)


def short_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the short ones among the tags of a file, so that a cached header is small."""
    short = [(name, text) for name, text in tags.items() if max(len(name), len(text)) <= _MAX_TAG_CHARS]
    return dict(short[:_MAX_TAGS])
