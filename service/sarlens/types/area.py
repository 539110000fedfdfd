"""Areas on the map: GeoJSON polygons in longitude and latitude."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, FailFast, Field, model_validator

MAX_POLYGONS = 64
_MAX_POSITIONS = 16_000

Degrees = Annotated[float, Field(ge=-540, le=540)]
Position = Annotated[tuple[Degrees, ...], Field(strict=False, min_length=2, max_length=4), FailFast()]
Ring = Annotated[tuple[Position, ...], Field(strict=False, min_length=4, max_length=1000), FailFast()]
Rings = Annotated[tuple[Ring, ...], Field(strict=False, min_length=1, max_length=16), FailFast()]
"""Exterior ring, then holes; each ring is closed."""


def _check_rings(rings: Rings) -> None:
    if any(ring[0] != ring[-1] for ring in rings):
        raise ValueError("the last position of each ring must equal the first")
    if any(abs(position[1]) > 90 for ring in rings for position in ring):
        raise ValueError("positions must be [longitude, latitude], with latitudes between -90 and 90")


class Polygon(BaseModel):
    """GeoJSON Polygon (RFC 7946) in longitude and latitude.

    Across the antimeridian, longitudes continue beyond 180. Other members of the GeoJSON object are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    type: Literal["Polygon"]
    coordinates: Rings

    @model_validator(mode="after")
    def _is_closed(self) -> Polygon:
        _check_rings(self.coordinates)
        return self

    @property
    def polygons(self) -> tuple[Rings, ...]:
        """The rings of each polygon."""
        return (self.coordinates,)


class MultiPolygon(BaseModel):
    """GeoJSON MultiPolygon (RFC 7946) in longitude and latitude, with up to 16,000 positions."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    type: Literal["MultiPolygon"]
    coordinates: Annotated[tuple[Rings, ...], Field(strict=False, min_length=1, max_length=MAX_POLYGONS), FailFast()]

    @model_validator(mode="after")
    def _is_closed(self) -> MultiPolygon:
        if sum(len(ring) for rings in self.coordinates for ring in rings) > _MAX_POSITIONS:
            raise ValueError(f"the polygons have more than {_MAX_POSITIONS} positions")
        for rings in self.coordinates:
            _check_rings(rings)
        return self

    @property
    def polygons(self) -> tuple[Rings, ...]:
        """The rings of each polygon."""
        return self.coordinates


def _geometry_of(value: Any) -> Any:
    """Replace a Feature by its geometry, and a FeatureCollection by the polygons of its features."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "Feature":
        return value.get("geometry")
    if kind != "FeatureCollection":
        return value
    features = value.get("features")
    if not isinstance(features, list) or not 1 <= len(features) <= MAX_POLYGONS:
        raise ValueError(f"a FeatureCollection must have 1 to {MAX_POLYGONS} features")
    return {"type": "MultiPolygon", "coordinates": [rings for feature in features for rings in _polygons_of(feature)]}


def _polygons_of(feature: Any) -> Iterator[Any]:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    match geometry:
        case {"type": "Polygon", "coordinates": rings}:
            yield rings
        case {"type": "MultiPolygon", "coordinates": list(polygons)}:
            yield from polygons[: MAX_POLYGONS + 1]
        case _:
            raise ValueError("the geometry of each feature must be a Polygon or a MultiPolygon")


Area: TypeAlias = Annotated[Polygon | MultiPolygon, Discriminator("type")]
"""One or several polygons."""
AnyArea: TypeAlias = Annotated[Area, BeforeValidator(_geometry_of)]
"""An area as a geometry, a Feature or a FeatureCollection."""
