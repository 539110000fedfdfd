"""Inputs of the OGC processes, and their translation to a survey specification."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, FailFast, Field, Tag, model_validator

from sarlens.api.common.schemas import (
    BandFileUrls,
    Cfar,
    Gate,
    Objects,
    QuestionText,
    SecondOpinion,
    require_remote_image,
)
from sarlens.prompts.templates import Style
from sarlens.stac import AssetKey, Item
from sarlens.surveys.spec import SurveyQuestion, SurveySpec
from sarlens.types.area import AnyArea
from sarlens.types.cfar_params import CfarParams
from sarlens.types.image_request import MAX_BAND_FILES
from sarlens.types.render_params import (
    MAX_BANDS,
    Band,
    Bound,
    Calibration,
    Coordinate,
    Filter,
    Nodata,
    Noise,
    RenderParams,
)
from sarlens.validation import BoundedModel, at_most

Url = Annotated[str, Field(min_length=1, max_length=4000)]
_MAX_MEMBERS = 64
"""Maximum number of inputs, and of outputs."""
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def _href(value: Any) -> Any:
    """Replace an input by reference with its URL, also in a list of inputs."""
    if isinstance(value, list) and len(value) <= MAX_BAND_FILES:
        return [_href(element) for element in value if not isinstance(element, list)]
    return value["href"] if isinstance(value, dict) and isinstance(value.get("href"), str) else value


def _kind_of_image(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "urls"
    return "url" if isinstance(value, str) else "item"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class OgcBbox(BoundedModel):
    """Bbox of OGC API - Processes."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"format": "ogc-bbox"})

    bbox: Annotated[tuple[Coordinate, ...], Field(min_length=4, max_length=6), FailFast()]
    crs: Annotated[str, Field(max_length=128)] = _CRS84

    @model_validator(mode="after")
    def _has_pairs(self) -> OgcBbox:
        if len(self.bbox) == 5:
            raise ValueError("bbox must have four or six numbers")
        return self

    @property
    def flat(self) -> tuple[float, ...]:
        """West, south, east and north, without heights."""
        return self.bbox if len(self.bbox) == 4 else (*self.bbox[:2], *self.bbox[3:5])


class Inputs(BoundedModel):
    """Inputs of every process about an image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Annotated[
        Annotated[Url, Tag("url")] | Annotated[Item, Tag("item")] | Annotated[BandFileUrls, Tag("urls")],
        Discriminator(_kind_of_image),
        Field(
            description="s3:// or https: URL of an image or of a STAC Item, an object with href, or a STAC Item. "
            "Several URLs are the bands of one image.",
            json_schema_extra={"maxOccurs": MAX_BAND_FILES},
        ),
        BeforeValidator(_href, json_schema_input_type=str | dict[str, Any] | list[str | dict[str, Any]]),
    ]
    model: Annotated[str | None, Field(description="Model name. Optional if the gateway serves one model.")] = None
    window: Annotated[
        tuple[Bound, Bound, Bound, Bound] | None,
        Field(description="Part of the image in pixels: col, row, width, height."),
    ] = None
    bbox: Annotated[OgcBbox | None, Field(description="Part of the image as a bbox on the map.")] = None
    polygon: Annotated[
        AnyArea | None,
        Field(description="Part of the image as a GeoJSON Polygon, MultiPolygon, Feature or FeatureCollection."),
    ] = None
    asset: Annotated[AssetKey | None, Field(description="Key of the asset, if the image is a STAC Item.")] = None
    bands: Annotated[
        tuple[Band, ...] | None,
        Field(min_length=1, max_length=3, description="One to three bands, such as VV."),
        at_most(MAX_BANDS),
    ] = None
    filter: Annotated[Filter | None, Field(description="Speckle filter.")] = None
    calibration: Annotated[Calibration, Field(description="Backscatter coefficient of the rendered image.")] = "none"
    noise: Annotated[
        Noise, Field(description="`keep` calibrates a Sentinel-1 product without removing the thermal noise.")
    ] = "remove"
    nodata: Annotated[
        Nodata | None, Field(description="Stored number of pixels without a measurement. Default: that of the TIFF.")
    ] = None
    context: Annotated[bool, Field(description="Add a sentence about the acquisition, from the STAC Item.")] = False

    def to_spec(self, *, wrap_as_document: bool = False) -> SurveySpec:
        """Return the survey specification.

        Raises:
            ValidationError: the inputs select the part of the image in two ways.
            BadRequest: the image is a ``data:`` URL.
        """
        render: dict[str, Any] = {
            "window": self.window,
            "asset": self.asset,
            "bands": self.bands,
            "filter": self.filter,
            "calibration": self.calibration,
            "noise": self.noise,
            "nodata": self.nodata,
        }
        if self.bbox is not None:
            render |= {"bbox": self.bbox.flat, "bbox_crs": self.bbox.crs}
        if self.polygon is not None:
            render |= {"polygon": self.polygon}
        return SurveySpec(
            model=self.model,
            url=require_remote_image(self.image),
            render=RenderParams.model_validate(render),
            context=self.context,
            wrap_as_document=wrap_as_document,
            **self._task_fields(),
        )

    def _task_fields(self) -> dict[str, Any]:
        """Return the fields of the specification that depend on the process."""
        return {}


class VqaInputs(Inputs):
    """Inputs of questions about one window."""

    question: Annotated[
        tuple[QuestionText, ...],
        Field(
            min_length=1,
            max_length=64,
            description="One question, or a list of questions.",
            json_schema_extra={"maxOccurs": 64},
        ),
        FailFast(),
        BeforeValidator(_as_tuple, json_schema_input_type=str | list[str]),
    ]

    def _task_fields(self) -> dict[str, Any]:
        return {"questions": tuple(SurveyQuestion(question=question) for question in self.question)}


class CaptionInputs(Inputs):
    """Inputs of a caption of one window."""

    style: Annotated[Style, Field(description="concise is one sentence, complex a detailed description.")] = "concise"

    def _task_fields(self) -> dict[str, Any]:
        return {"caption": self.style, "max_tokens": 128 if self.style == "concise" else 512}


class SurveyInputs(VqaInputs):
    """Inputs of a survey of every tile."""

    tile: Annotated[
        Annotated[int, Field(ge=64, le=4096)] | None,
        Field(description="Side of a tile in pixels of the full resolution. Default: what the model sees."),
    ] = None
    overlap: Annotated[
        int, Field(ge=0, le=2048, description="Pixels that neighboring tiles share; at most half of tile.")
    ] = 0

    objects: Objects = None
    gate: Gate = None
    second_opinion: SecondOpinion = None
    cfar: Cfar = CfarParams()

    @model_validator(mode="after")
    def _check_overlap(self) -> SurveyInputs:
        if self.tile is not None and 2 * self.overlap > self.tile:
            raise ValueError("overlap must be at most half of tile")
        return self

    def _task_fields(self) -> dict[str, Any]:
        return super()._task_fields() | {
            "tile": "model" if self.tile is None else self.tile,
            "overlap": self.overlap,
            "objects": self.objects,
            "gate": self.gate,
            "second_opinion": self.second_opinion,
            "cfar": self.cfar,
        }


class EchoInputs(BoundedModel):
    """Inputs of an echo."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    echoInput: Annotated[str, Field(max_length=10_000, description="Text to return.")]  # noqa: N815
    pause: Annotated[float, Field(ge=0, le=60, description="Duration in seconds.")] = 0.0


class Execution(BaseModel):
    """Request to execute a process."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    inputs: Annotated[
        dict[str, Any], at_most(_MAX_MEMBERS), Field(description="Inputs by name, as the process describes them.")
    ] = {}
    outputs: Annotated[
        dict[str, dict[str, Any]] | None,
        at_most(_MAX_MEMBERS),
        Field(description="Outputs by name. Default: all."),
    ] = None
    response: Annotated[
        Literal["raw", "document"], Field(description="Format of the result: GeoJSON, or a JSON object around it.")
    ] = "raw"

    @model_validator(mode="before")
    @classmethod
    def _reject_subscriber(cls, value: Any) -> Any:
        if isinstance(value, dict) and "subscriber" in value:
            raise ValueError("subscriber isn't supported: the gateway sends no callbacks. Poll the job instead")
        return value


def unwrap_qualified_values(inputs: dict[str, Any]) -> dict[str, Any]:
    """Replace qualified values, ``{"value": …}``, with their values."""

    def unwrap(value: Any) -> Any:
        is_qualified = isinstance(value, dict) and "value" in value and set(value) <= {"value", "mediaType"}
        return value["value"] if is_qualified else value

    return {
        name: [unwrap(item) for item in value] if isinstance(value, list) else unwrap(value)
        for name, value in inputs.items()
    }
