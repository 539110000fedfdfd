"""Parts of an image: pixel windows, looks and GeoJSON polygons."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator


class Window(NamedTuple):
    """A rectangle in pixels of the full resolution; the origin is the upper left corner of the image."""

    col: int
    """First column, from 0."""
    row: int
    """First row, from 0."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""

    @property
    def pixels(self) -> int:
        """Number of pixels inside."""
        return self.width * self.height


class Looks(NamedTuple):
    """Number of pixels that are averaged into one."""

    across: int
    """Pixels along a row."""
    down: int
    """Pixels along a column."""


Degrees = Annotated[float, Field(ge=-540, le=540)]
Position = Annotated[tuple[Degrees, ...], Field(strict=False, min_length=2, max_length=4), FailFast()]
Ring = Annotated[tuple[Position, ...], Field(strict=False, min_length=4, max_length=1000), FailFast()]


class Polygon(BaseModel):
    """GeoJSON Polygon (RFC 7946) in longitude and latitude.

    Across the antimeridian, longitudes continue beyond 180. Other members of the GeoJSON object are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    type: Literal["Polygon"]
    coordinates: Annotated[tuple[Ring, ...], Field(strict=False, min_length=1, max_length=16), FailFast()]
    """Exterior ring, then holes; each ring is closed."""

    @model_validator(mode="after")
    def _check_rings(self) -> Polygon:
        if any(ring[0] != ring[-1] for ring in self.coordinates):
            raise ValueError("the last position of each ring must equal the first")
        if any(abs(position[1]) > 90 for ring in self.coordinates for position in ring):
            raise ValueError("positions must be [longitude, latitude], with latitudes between -90 and 90")
        return self
