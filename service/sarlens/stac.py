"""SpatioTemporal Asset Catalog: an Item, as far as it is read here, and what it says of how a scene was taken.

Fields of extensions are known by their prefix, whatever version of the extension an Item declares.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError, WrapValidator

MOST_ASSETS = 1000

T = TypeVar("T")


def _or_nothing(value: Any, read: Any) -> Any:
    """What is not as its specification says is left out: catalogues are written by many hands."""
    try:
        return read(value)
    except ValidationError:
        return None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


Maybe = Annotated[T | None, WrapValidator(_or_nothing)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/+-]{0,63}$")]
"""A name in a catalogue. It may be shown to a model, so it is no place for sentences."""
Time = Annotated[datetime, AfterValidator(_utc)]
Metres = Annotated[float, Field(gt=0, le=1e6)]
Polarisation = Annotated[str, Field(pattern=r"^[HVLRC][HVLR]$")]
Href = Annotated[str, Field(min_length=1, max_length=8192)]
Key = Annotated[str, Field(min_length=1, max_length=256)]


class Taken(BaseModel):
    """How a scene was taken: common metadata, and fields of the extensions sar, sat and product.

    Pixel spacings are in metres, across and along the flight path. What is not known is None.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    datetime: Maybe[Time] = None
    start_datetime: Maybe[Time] = None
    end_datetime: Maybe[Time] = None
    platform: Maybe[Word] = None
    constellation: Maybe[Word] = None
    instrument_mode: Annotated[Maybe[Word], Field(alias="sar:instrument_mode")] = None
    frequency_band: Annotated[Maybe[Word], Field(alias="sar:frequency_band")] = None
    polarizations: Annotated[
        Maybe[Annotated[tuple[Polarisation, ...], Field(min_length=1, max_length=16)]],
        Field(alias="sar:polarizations"),
    ] = None
    product_type: Annotated[
        Maybe[Word], Field(validation_alias=AliasChoices("product:type", "sar:product_type", "product_type"))
    ] = None
    orbit_state: Annotated[
        Maybe[Literal["ascending", "descending", "geostationary"]], Field(alias="sat:orbit_state")
    ] = None
    relative_orbit: Annotated[Maybe[Annotated[int, Field(ge=0, lt=2**31)]], Field(alias="sat:relative_orbit")] = None
    pixel_spacing_range: Annotated[Maybe[Metres], Field(alias="sar:pixel_spacing_range")] = None
    pixel_spacing_azimuth: Annotated[Maybe[Metres], Field(alias="sar:pixel_spacing_azimuth")] = None

    @property
    def known(self) -> dict[str, Any]:
        """What is known, by name."""
        return {name: value for name in Taken.model_fields if (value := getattr(self, name)) is not None}


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Maybe[Annotated[str, Field(max_length=256)]] = None


class Asset(Taken):
    """A file of an Item; what it says of itself goes before what the Item says."""

    href: Href
    type: Maybe[Annotated[str, Field(max_length=256)]] = None
    roles: Maybe[tuple[str, ...]] = None
    bands: Annotated[Maybe[tuple[_Named, ...]], Field(validation_alias=AliasChoices("bands", "eo:bands"))] = None


class Link(BaseModel):
    """A reference to another document."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rel: str
    href: Href


class Item(BaseModel):
    """A STAC Item: a scene, its metadata and its files."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["Feature"]
    stac_version: Annotated[str, Field(max_length=32)]
    id: Annotated[str, Field(min_length=1, max_length=1024)]
    properties: Taken
    assets: Annotated[dict[Key, Asset], Field(max_length=MOST_ASSETS)]
    links: Maybe[tuple[Link, ...]] = None

    @property
    def url(self) -> str | None:
        """Where it says that it lies itself."""
        return next((link.href for link in self.links or () if link.rel == "self"), None)


class Acquisition(Taken):
    """How an image was taken, by the ``item`` that it is an ``asset`` of."""

    item: str
    asset: str

    @property
    def document(self) -> dict[str, Any]:
        """What is known, as JSON has it."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def columns(self) -> dict[str, Any]:
        """The same in flat columns, as a GIS likes it."""
        told = self.document
        return told | ({"polarizations": ",".join(self.polarizations)} if self.polarizations else {})
