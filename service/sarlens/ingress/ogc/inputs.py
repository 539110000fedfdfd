"""What processes take: inputs as OGC API Processes writes them, and the commission that they come to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from sarlens.ingress.bodies import Words, lasting
from sarlens.prompts.wording import Style
from sarlens.request import Band, Bound, Calibration, Coordinate, Filter, Polygon, Render
from sarlens.stac import Item, Key
from sarlens.survey.commission import Commission, Enquiry

Url = Annotated[str, Field(min_length=1, max_length=4000)]
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def _place(value: Any) -> Any:
    """An input by reference is its address."""
    return value["href"] if isinstance(value, dict) and isinstance(value.get("href"), str) else value


def _many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Box(BaseModel):
    """A bbox as OGC API Processes writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"format": "ogc-bbox"})

    bbox: Annotated[tuple[Coordinate, ...], Field(min_length=4, max_length=6)]
    crs: str = _CRS84

    @model_validator(mode="after")
    def _flat(self) -> Box:
        if len(self.bbox) == 5:
            raise ValueError("bbox has four numbers, or six")
        return self

    @property
    def flat(self) -> tuple[float, ...]:
        """West, south, east, north, without heights."""
        return self.bbox if len(self.bbox) == 4 else (*self.bbox[:2], *self.bbox[3:5])


class Inputs(BaseModel):
    """What every process about an image takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Annotated[
        Annotated[Url, Tag("url")] | Annotated[Item, Tag("item")],
        Discriminator(lambda value: "url" if isinstance(value, str) else "item"),
        Field(description="s3:// or https: URL of an image or a STAC Item, an object with href, or a STAC Item."),
        BeforeValidator(_place, json_schema_input_type=str | dict[str, Any]),
    ]
    model: Annotated[str | None, Field(description="Model to ask; may be left out where one is served.")] = None
    window: Annotated[
        tuple[Bound, Bound, Bound, Bound] | None, Field(description="Part of it in pixels: col, row, width, height.")
    ] = None
    bbox: Annotated[Box | None, Field(description="Part of it on the map.")] = None
    polygon: Annotated[Polygon | None, Field(description="Part of it as a GeoJSON Polygon.")] = None
    asset: Annotated[Key | None, Field(description="Key of an asset, where the image is a STAC Item.")] = None
    bands: Annotated[
        tuple[Band, ...] | None, Field(min_length=1, max_length=3, description="One to three bands, such as VV.")
    ] = None
    filter: Annotated[Filter | None, Field(description="Speckle filter.")] = None
    calibration: Annotated[Calibration, Field(description="Backscatter coefficient that is shown.")] = "none"
    context: Annotated[bool, Field(description="Tell the model how the image was taken, as its STAC Item says.")] = (
        False
    )

    def commission(self) -> Commission:
        """What is to be done.

        Raises:
            ValidationError: a part of the image is given in two ways.
            BadRequest: the image came with the request.
        """
        render: dict[str, Any] = {
            "window": self.window,
            "asset": self.asset,
            "bands": self.bands,
            "filter": self.filter,
            "calibration": self.calibration,
        }
        if self.bbox is not None:
            render |= {"bbox": self.bbox.flat, "bbox_crs": self.bbox.crs}
        if self.polygon is not None:
            render |= {"polygon": self.polygon}
        drawn = Render.model_validate(render)
        given = {"model": self.model, "url": lasting(self.image), "render": drawn, "context": self.context}
        return Commission(**given, **self._asked())

    def _asked(self) -> dict[str, Any]:
        return {}


class VqaInputs(Inputs):
    """Questions about one window."""

    question: Annotated[
        tuple[Words, ...],
        Field(
            min_length=1,
            max_length=64,
            description="A question, or a list of them.",
            json_schema_extra={"maxOccurs": 64},
        ),
        BeforeValidator(_many, json_schema_input_type=str | list[str]),
    ]

    def _asked(self) -> dict[str, Any]:
        return {"enquiries": tuple(Enquiry(question=each) for each in self.question)}


class CaptionInputs(Inputs):
    """A wish for a caption of one window."""

    style: Annotated[Style, Field(description="One sentence, or in detail.")] = "concise"

    def _asked(self) -> dict[str, Any]:
        return {"caption": self.style, "max_tokens": 128 if self.style == "concise" else 512}


class SurveyInputs(VqaInputs):
    """Questions about every tile of an image."""

    tile: Annotated[int, Field(ge=64, le=4096, description="Side of a tile in pixels.")] = 448
    overlap: Annotated[int, Field(ge=0, le=2048, description="Pixels that neighbouring tiles share.")] = 0

    @model_validator(mode="after")
    def _overlap_is_less(self) -> SurveyInputs:
        if 2 * self.overlap > self.tile:
            raise ValueError("overlap can be at most half of tile")
        return self

    def _asked(self) -> dict[str, Any]:
        return super()._asked() | {"tile": self.tile, "overlap": self.overlap}


class EchoInputs(BaseModel):
    """What comes back as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    echoInput: Annotated[str, Field(max_length=10_000, description="What is to come back.")]  # noqa: N815
    pause: Annotated[float, Field(ge=0, le=60, description="Seconds until then.")] = 0.0


class Execution(BaseModel):
    """The body of an execution."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    inputs: dict[str, Any] = {}
    outputs: dict[str, dict[str, Any]] | None = None
    response: Literal["raw", "document"] = "raw"


def unqualified(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs without the wrapping of qualified values, ``{"value": …}``."""

    def plain(value: Any) -> Any:
        return value["value"] if isinstance(value, dict) and set(value) <= {"value", "mediaType"} and value else value

    return {
        name: [plain(each) for each in value] if isinstance(value, list) else plain(value)
        for name, value in inputs.items()
    }
