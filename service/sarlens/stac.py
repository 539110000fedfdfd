"""SpatioTemporal Asset Catalog: the fields of an Item that Sarlens reads, and acquisition metadata.

Fields of extensions are recognized by their prefix, regardless of the version of the extension.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
)

from sarlens.validation import at_most

MAX_ASSETS = 1000
_MAX_ALTERNATES = 4
_MAX_ELEMENTS = 256
"""Maximum number of roles or bands of an asset."""

T = TypeVar("T")


def _none_if_invalid(value: Any, read: Any) -> Any:
    """Ignore a value that violates its specification: many catalogs have such fields."""
    try:
        return read(value)
    except ValidationError:
        return None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


Lenient = Annotated[T | None, WrapValidator(_none_if_invalid)]
SafeLabel = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/+-]{0,63}$")]
"""A name in a catalog. Prompts can contain it, so it has at most 64 characters and no punctuation of sentences."""
Time = Annotated[datetime, AfterValidator(_utc)]
Meters = Annotated[float, Field(gt=0, le=1e6)]
Polarization = Annotated[str, Field(pattern=r"^[HVLRC][HVLR]$")]
Href = Annotated[str, Field(min_length=1, max_length=8192)]
_Role = Annotated[str, Field(max_length=256)]
AssetKey = Annotated[str, Field(min_length=1, max_length=256)]


class AcquisitionMetadata(BaseModel):
    """Acquisition metadata: common metadata, and fields of the extensions sar, sat and product.

    Unknown fields are None. Pixel spacings are in meters: range is across the flight path, azimuth along it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    datetime: Lenient[Time] = None
    start_datetime: Lenient[Time] = None
    end_datetime: Lenient[Time] = None
    platform: Lenient[SafeLabel] = None
    constellation: Lenient[SafeLabel] = None
    instrument_mode: Annotated[Lenient[SafeLabel], Field(alias="sar:instrument_mode")] = None
    frequency_band: Annotated[Lenient[SafeLabel], Field(alias="sar:frequency_band")] = None
    polarizations: Annotated[
        Lenient[Annotated[tuple[Polarization, ...], Field(min_length=1, max_length=16)]],
        Field(alias="sar:polarizations"),
    ] = None
    product_type: Annotated[
        Lenient[SafeLabel], Field(validation_alias=AliasChoices("product:type", "sar:product_type", "product_type"))
    ] = None
    orbit_state: Annotated[
        Lenient[Literal["ascending", "descending", "geostationary"]], Field(alias="sat:orbit_state")
    ] = None
    relative_orbit: Annotated[Lenient[Annotated[int, Field(ge=0, lt=2**31)]], Field(alias="sat:relative_orbit")] = None
    pixel_spacing_range: Annotated[Lenient[Meters], Field(alias="sar:pixel_spacing_range")] = None
    pixel_spacing_azimuth: Annotated[Lenient[Meters], Field(alias="sar:pixel_spacing_azimuth")] = None

    @property
    def as_dict(self) -> dict[str, Any]:
        """The known fields by name."""
        return {name: value for name in AcquisitionMetadata.model_fields if (value := getattr(self, name)) is not None}


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Lenient[Annotated[str, Field(max_length=256)]] = None


class Alternate(BaseModel):
    """Another location of a file (extension alternate-assets)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    href: Href


class Asset(AcquisitionMetadata):
    """A file of an Item; its own metadata overrides that of the Item."""

    href: Href
    alternate: Lenient[Annotated[dict[str, Alternate], at_most(_MAX_ALTERNATES)]] = None
    """Other locations by name, such as ``s3``."""
    type: Lenient[Annotated[str, Field(max_length=256)]] = None
    roles: Lenient[Annotated[tuple[_Role, ...], at_most(_MAX_ELEMENTS)]] = None
    bands: Annotated[
        Lenient[Annotated[tuple[_Named, ...], at_most(_MAX_ELEMENTS)]],
        Field(validation_alias=AliasChoices("bands", "eo:bands")),
    ] = None


class Link(BaseModel):
    """A reference to another document."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rel: Annotated[str, Field(max_length=256)]
    href: Href


class Item(BaseModel):
    """A STAC Item: a scene, its metadata and its files."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["Feature"]
    stac_version: Annotated[str, Field(max_length=32)]
    id: Annotated[str, Field(min_length=1, max_length=1024)]
    properties: AcquisitionMetadata
    assets: Annotated[dict[AssetKey, Asset], at_most(MAX_ASSETS), Field(max_length=MAX_ASSETS)]
    links: Lenient[Annotated[tuple[Link, ...], at_most(MAX_ASSETS)]] = None

    @property
    def url(self) -> str | None:
        """URL of the Item by its ``self`` link."""
        return next((link.href for link in self.links or () if link.rel == "self"), None)


class Acquisition(AcquisitionMetadata):
    """Acquisition metadata of an image that a STAC Item describes."""

    item: str
    """Id of the Item."""
    asset: str
    """Key of the asset."""

    @property
    def as_document(self) -> dict[str, Any]:
        """The known fields as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def as_flat_columns(self) -> dict[str, Any]:
        """The known fields as flat columns for a GIS."""
        return self.as_document | ({"polarizations": ",".join(self.polarizations)} if self.polarizations else {})
