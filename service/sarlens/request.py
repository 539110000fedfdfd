"""The frozen nouns that every room speaks of: which image, which part of it, rendered how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sarlens.stac import Item, Key


class Window(NamedTuple):
    """A rectangle of an image in pixels of its full resolution; the origin is the upper left corner."""

    col: int
    row: int
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Number of pixels inside."""
        return self.width * self.height


class Looks(NamedTuple):
    """How many pixels become one: ``across`` along a row, ``down`` along a column."""

    across: int
    down: int


Filter = Literal["refined_lee", "lee", "frost", "gamma_map", "none"]
Scale = Literal["db", "linear", "auto"]
Preset = Literal["sarlang", "plain"]
Calibration = Literal["sigma0", "beta0", "gamma0", "none"]
Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Band = Name | Annotated[int, Field(ge=1, le=65535)]
Look = Annotated[int, Field(ge=1, le=64)]
Bound = Annotated[int, Field(ge=-(2**31), le=2**31)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9)]
Degrees = Annotated[float, Field(ge=-540, le=540)]
Position = Annotated[tuple[Degrees, ...], Field(strict=False, min_length=2, max_length=4)]
Ring = Annotated[tuple[Position, ...], Field(strict=False, min_length=4, max_length=1000)]


def radiometry(calibration: Calibration) -> str:
    """What brightness in a picture stands for: the coefficient, or ``relative`` where nothing is calibrated."""
    return "relative" if calibration == "none" else calibration


class Polygon(BaseModel):
    """A GeoJSON Polygon (RFC 7946) in longitude and latitude; beyond the antimeridian longitudes go on to 181 and more.

    Other members of the GeoJSON object, such as ``bbox``, are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    type: Literal["Polygon"]
    coordinates: Annotated[tuple[Ring, ...], Field(strict=False, min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _closed(self) -> Polygon:
        if any(ring[0] != ring[-1] for ring in self.coordinates):
            raise ValueError("the last position of each ring must be the first one again")
        if any(abs(position[1]) > 90 for ring in self.coordinates for position in ring):
            raise ValueError("positions are [longitude, latitude]; a latitude lies between -90 and 90")
        return self


class Render(BaseModel):
    """How a measurement becomes a picture: the ``sar`` object beside an image's ``url``.

    ``window`` is ``[col, row, width, height]`` in pixels of the full resolution. Instead of it a place on the map may
    be given, which stands for the window that covers it: ``bbox`` is ``[west, south, east, north]`` in ``bbox_crs``,
    easting or longitude first whatever the CRS declares; ``polygon`` is GeoJSON.
    ``asset`` is the key of an asset, where the image is a STAC Item; left out, the only TIFF with the role ``data`` is
    shown, or of several the only one that has the polarisations among ``bands``.
    ``bands`` are names or 1-based numbers: one gives grey, two a composite of first, second and their ratio,
    three red, green and blue. ``swath`` chooses among those of a product, such as ``IW1`` of Sentinel-1 SLC.
    ``preset`` fills in what is left out: ``sarlang`` is the rendering of the SARLANG-1M paper (refined Lee filter,
    dB, linear stretch, 8 bits), ``plain`` the same without a speckle filter.
    ``scale`` says what scale the pixels are in: ``db``, ``linear`` (digital numbers, amplitude or intensity), or
    ``auto``, which recognises it.
    ``calibration`` is the backscatter coefficient that is shown: ``sigma0``, ``beta0`` or ``gamma0``, where the
    product says how; ``none`` shows relative power.
    ``looks`` averages the power of that many pixels, ``[along a row, along a column]``, before anything else.
    ``stretch`` holds the two percentiles that become black and white.
    ``size`` is the longest side of the picture in pixels; left out, it is the size that the model sees.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    window: Annotated[tuple[Bound, Bound, Bound, Bound] | None, Field(strict=False)] = None
    bbox: Annotated[tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None, Field(strict=False)] = None
    bbox_crs: Annotated[str, Field(min_length=1, max_length=128)] = "OGC:CRS84"
    polygon: Polygon | None = None
    asset: Key | None = None
    bands: Annotated[tuple[Band, ...] | None, Field(strict=False, min_length=1, max_length=3)] = None
    swath: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,8}$")] | None = None
    preset: Preset = "sarlang"
    filter: Filter | None = None
    scale: Scale = "auto"
    calibration: Calibration = "none"
    looks: Annotated[tuple[Look, Look] | None, Field(strict=False)] = None
    stretch: Annotated[tuple[Percent, Percent], Field(strict=False)] = (2.0, 98.0)
    size: Annotated[int, Field(ge=16, le=4096)] | None = None

    @model_validator(mode="after")
    def _stretch_rises(self) -> Render:
        if self.stretch[0] >= self.stretch[1]:
            raise ValueError("stretch must be two rising percentiles, such as [2, 98]")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Render:
        if sum(place is not None for place in (self.window, self.bbox, self.polygon)) > 1:
            raise ValueError("only one of window, bbox and polygon can be given")
        if self.bbox is None and "bbox_crs" in self.model_fields_set:
            raise ValueError("bbox_crs goes with a bbox")
        return self

    @property
    def on_map(self) -> bool:
        """Whether a place on the map is asked for, which has to be found in the image first."""
        return self.bbox is not None or self.polygon is not None

    @property
    def whole(self) -> Render:
        """The same for the whole image."""
        return self.model_copy(update={"window": None, "bbox": None, "polygon": None, "bbox_crs": "OGC:CRS84"})

    def at(self, window: Window) -> Render:
        """The same for a window in place of a place on the map."""
        return self.whole.model_copy(update={"window": tuple(window)})

    @property
    def speckle_filter(self) -> Filter:
        """The filter asked for, or the preset's."""
        return self.filter or ("refined_lee" if self.preset == "sarlang" else "none")

    def parameters(self, size: int) -> dict[str, Any]:
        """All that decides what is drawn, as JSON, with the preset spelled out and the model's ``size`` filled in.

        Raises:
            ValueError: it is not settled which window of the image is meant.
        """
        if self.on_map:
            raise ValueError("the place on the map has not been found in the image yet")
        given = self.model_dump(mode="json", exclude={"preset", "bbox", "bbox_crs", "polygon", "asset"})
        return given | {"filter": self.speckle_filter, "size": self.size or size}


Place = str | bytes | Item
"""Where an image is: its URL, that of a STAC Item, such an Item, or the image's own bytes."""


def scheme(url: str) -> str:
    """The scheme of a URL in lower case, empty where it has none; megabytes of a data: URL are not copied for it."""
    return url[: max(url.find(":"), 0)].lower()


class View(NamedTuple):
    """An image that a caller wants to see, and how it is to be rendered."""

    place: Place
    render: Render | None = None


class ImageRef(NamedTuple):
    """An image part of a chat: where the image is, how to render it, and where in the messages it stands.

    Where ``version`` names one, no other version of the image will do.
    """

    place: Place
    render: Render | None
    message: int
    part: int
    version: str | None = None

    @property
    def view(self) -> View:
        """What the caller wants to see."""
        return View(self.place, self.render)


def _everything(address: str) -> bool:
    return True


class Terms(NamedTuple):
    """On what terms a caller is served.

    ``salt`` keeps what workers remember for this caller apart from what they remember for others. A lower
    ``priority`` is served first. ``deadline`` is in seconds since 1970, after which an answer is of no use.
    ``may_see`` tells whether the image at an address, which is spelt as ``plain_address`` spells it, may be seen.
    """

    salt: str = ""
    priority: int = 0
    deadline: float | None = None
    may_see: Callable[[str], bool] = _everything


ANYBODY = Terms()
"""The terms of a caller of whom nothing is known."""
