"""The frozen nouns that every room speaks of: which image, which part of it, rendered how."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator


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


Filter = Literal["refined_lee", "lee", "frost", "gamma_map", "none"]
Scale = Literal["db", "linear", "auto"]
Preset = Literal["sarlang", "plain"]
Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Band = Name | Annotated[int, Field(ge=1, le=65535)]
Bound = Annotated[int, Field(ge=-(2**31), le=2**31)]


class Render(BaseModel):
    """How a measurement becomes a picture: the ``sar`` object beside an image's ``url``.

    ``window`` is ``[col, row, width, height]`` in pixels of the full resolution.
    ``bands`` are names or 1-based numbers: one gives grey, two a composite of first, second and their ratio,
    three red, green and blue.
    ``preset`` fills in what is left out: ``sarlang`` is the rendering of the SARLANG-1M paper (refined Lee filter,
    dB, linear stretch, 8 bits), ``plain`` the same without a speckle filter.
    ``scale`` says what scale the pixels are in: ``db``, ``linear`` (digital numbers, amplitude or intensity), or
    ``auto``, which recognises it.
    ``stretch`` holds the two percentiles that become black and white.
    ``size`` is the longest side of the picture in pixels; left out, it is the size that the model sees.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    window: Annotated[tuple[Bound, Bound, Bound, Bound] | None, Field(strict=False)] = None
    bands: Annotated[tuple[Band, ...] | None, Field(strict=False, min_length=1, max_length=3)] = None
    preset: Preset = "sarlang"
    filter: Filter | None = None
    scale: Scale = "auto"
    stretch: Annotated[tuple[Percent, Percent], Field(strict=False)] = (2.0, 98.0)
    size: Annotated[int, Field(ge=16, le=4096)] | None = None

    @model_validator(mode="after")
    def _stretch_rises(self) -> Render:
        if self.stretch[0] >= self.stretch[1]:
            raise ValueError("stretch must be two rising percentiles, such as [2, 98]")
        return self

    @property
    def speckle_filter(self) -> Filter:
        """The filter asked for, or the preset's."""
        return self.filter or ("refined_lee" if self.preset == "sarlang" else "none")

    def parameters(self, size: int) -> dict[str, Any]:
        """All that decides what is drawn, as JSON, with the preset spelled out and the model's ``size`` filled in."""
        given = self.model_dump(mode="json", exclude={"preset"})
        return given | {"filter": self.speckle_filter, "size": self.size or size}


Place = str | bytes
"""Where an image is: its URL, or its own bytes, which came with the request."""


class ImageRef(NamedTuple):
    """An image part of a chat: where the image is, how to render it, and where in the messages it stands."""

    place: Place
    render: Render | None
    message: int
    part: int


class Terms(NamedTuple):
    """On what terms a caller is served.

    ``salt`` keeps what workers remember for this caller apart from what they remember for others. A lower
    ``priority`` is served first. ``deadline`` is in seconds since 1970, after which an answer is of no use.
    """

    salt: str = ""
    priority: int = 0
    deadline: float | None = None


ANYBODY = Terms()
"""The terms of a caller of whom nothing is known."""
