"""Render parameters: the ``sar`` object of a request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from sarlens.stac import AssetKey
from sarlens.types.area import AnyArea
from sarlens.types.window import Window
from sarlens.validation import BoundedModel, at_most

Filter = Literal["refined_lee", "lee", "frost", "gamma_map", "none"]
Scale = Literal["db", "linear", "auto"]
Preset = Literal["sarlang", "plain"]
Calibration = Literal["sigma0", "beta0", "gamma0", "none"]
Noise = Literal["remove", "keep"]
Bursts = Literal["merge", "keep"]
Orient = Literal["image", "north"]
BoxPixels = Literal["image", "picture"]
Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Band = Name | Annotated[int, Field(ge=1, le=65535)]
Look = Annotated[int, Field(ge=1, le=64)]
Bound = Annotated[int, Field(ge=-(2**31), le=2**31)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9)]
Nodata = Annotated[float, Field(ge=-3.4028235e38, le=3.4028235e38)]


MAX_ENLARGEMENT = 8
"""Maximum factor by which a picture is enlarged."""
MAX_BANDS = 16
"""Bands of a request that are validated at all; three are allowed."""


def radiometry_label(calibration: Calibration, noise: Noise) -> str:
    """The radiometry of a rendered image: the backscatter coefficient, or ``relative`` without calibration.

    The coefficient has the suffix ``_noise_kept`` if the gateway removed no noise, such as ``sigma0_noise_kept``.
    """
    if calibration == "none":
        return "relative"
    return calibration if noise == "remove" else f"{calibration}_noise_kept"


class RenderParams(BoundedModel):
    """Render parameters: the ``sar`` object next to the ``url`` of an image.

    At most one of ``window``, ``bbox`` and ``polygon`` selects a part of the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    window: Annotated[
        tuple[Bound, Bound, Bound, Bound] | None,
        Field(
            strict=False,
            description="`[col, row, width, height]` in pixels of the full resolution. Default: the whole image.",
        ),
    ] = None
    bbox: Annotated[
        tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None,
        Field(
            strict=False,
            description="`[west, south, east, north]` in `bbox_crs`: the window that covers this box. The easting or "
            "longitude comes first in every CRS.",
        ),
    ] = None
    bbox_crs: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            description="CRS of `bbox`: `EPSG:32631`, or an OGC URI such as "
            "`http://www.opengis.net/def/crs/EPSG/0/32631`.",
        ),
    ] = "OGC:CRS84"
    polygon: Annotated[
        AnyArea | None,
        Field(
            description="GeoJSON Polygon or MultiPolygon in longitude and latitude, or a Feature or FeatureCollection "
            "of them: the window that covers it."
        ),
    ] = None
    asset: Annotated[
        AssetKey | None,
        Field(
            description="Key of an asset, if the image is a STAC Item. Default: the only TIFF with the role `data`. If "
            "there are several, those with the polarizations in `bands`, else the one with VV or HH."
        ),
    ] = None
    bands: Annotated[
        tuple[Band, ...] | None,
        Field(
            strict=False,
            min_length=1,
            max_length=3,
            description="Band names or 1-based numbers. One band gives a gray image. Two give a composite of the "
            "first, the second and their ratio. Three give red, green and blue. Default: one band, VV or HH first.",
        ),
        at_most(MAX_BANDS),
    ] = None
    swath: Annotated[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,8}$")] | None,
        Field(description="Swath of a Sentinel-1 product that has several, such as `IW1`."),
    ] = None
    bursts: Annotated[
        Bursts,
        Field(
            description="Bursts of a swath of a Sentinel-1 SLC product. `merge` shows each place once, in the order of "
            "azimuth time. `keep` stacks them as the file does."
        ),
    ] = "merge"
    preset: Annotated[
        Preset,
        Field(
            description="`sarlang` is the rendering of the SARLANG-1M paper: refined Lee filter, decibels, linear "
            "stretch, 8 bits. `plain` is the same without a speckle filter."
        ),
    ] = "sarlang"
    filter: Annotated[Filter | None, Field(description="Speckle filter. Default: the filter of the preset.")] = None
    scale: Annotated[
        Scale,
        Field(
            description="Scale of the pixels: `db`, `linear` (digital numbers, amplitude or intensity), or `auto` to "
            "detect it."
        ),
    ] = "auto"
    calibration: Annotated[
        Calibration,
        Field(description="Backscatter coefficient to compute, if the product supports it; `none` is relative power."),
    ] = "none"
    noise: Annotated[
        Noise,
        Field(
            description="`remove` subtracts the thermal noise of a Sentinel-1 product before it is calibrated. `keep` "
            "calibrates without the noise annotation, and `radiometry` says so: `sigma0_noise_kept`."
        ),
    ] = "remove"
    nodata: Annotated[
        Nodata | None,
        Field(
            description="Stored number of pixels without a measurement, in place of the nodata value that a TIFF "
            "declares. Overviews are used only if both are equal. Default: the declared value."
        ),
    ] = None
    looks: Annotated[
        tuple[Look, Look] | None,
        Field(
            strict=False,
            description="`[along a row, along a column]`: number of pixels whose power is averaged first.",
        ),
    ] = None
    stretch: Annotated[
        tuple[Percent, Percent],
        Field(strict=False, description="Two rising percentiles that become black and white."),
    ] = (2.0, 98.0)
    size: Annotated[
        Annotated[int, Field(ge=16, le=4096)] | None,
        Field(description="Longest side of the rendered image in pixels. Default: the size that the model sees."),
    ] = None
    enlarge: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_ENLARGEMENT,
            description="Largest factor by which a picture smaller than `size` is enlarged, up to `size`. Default: "
            "pictures are never enlarged.",
        ),
    ] = 1
    orient: Annotated[
        Orient,
        Field(
            description="`north` flips or turns the picture by right angles so that north is up, if the image is "
            "georeferenced. `image` keeps its rows and columns."
        ),
    ] = "image"
    boxes: Annotated[
        BoxPixels | None,
        Field(
            description="Pixels of the boxes `[x, y, width, height]` in questions and answers. `image`: those of the "
            "image at full resolution; the gateway converts them from and to those that the model sees. `picture`: "
            "those that the model sees, unchanged. Default: `image`, and `picture` for chats."
        ),
    ] = None

    @model_validator(mode="after")
    def _check_stretch(self) -> RenderParams:
        if self.stretch[0] >= self.stretch[1]:
            raise ValueError("stretch must be two rising percentiles, such as [2, 98]")
        return self

    @model_validator(mode="after")
    def _check_region(self) -> RenderParams:
        if sum(region is not None for region in (self.window, self.bbox, self.polygon)) > 1:
            raise ValueError("only one of window, bbox and polygon is allowed")
        if self.bbox is None and "bbox_crs" in self.model_fields_set:
            raise ValueError("bbox_crs requires a bbox")
        return self

    @property
    def has_geometry(self) -> bool:
        """Whether a bbox or polygon must be converted to a window first."""
        return self.bbox is not None or self.polygon is not None

    @property
    def without_window(self) -> RenderParams:
        """The same parameters for the whole image."""
        return self.model_copy(update={"window": None, "bbox": None, "polygon": None, "bbox_crs": "OGC:CRS84"})

    def with_window(self, window: Window) -> RenderParams:
        """The same parameters for a window in place of a bbox or polygon."""
        return self.without_window.model_copy(update={"window": tuple(window)})

    @property
    def speckle_filter(self) -> Filter:
        """The requested filter, or that of the preset."""
        return self.filter or ("refined_lee" if self.preset == "sarlang" else "none")

    @property
    def removes_noise(self) -> bool:
        """Whether the pixels are calibrated and the noise of the annotation is subtracted."""
        return self.calibration != "none" and self.noise == "remove"

    @property
    def radiometry(self) -> str:
        """The radiometry of the rendered image, as ``radiometry_label``."""
        return radiometry_label(self.calibration, self.noise)

    def canonical_params(self, model_size: int) -> dict[str, Any]:
        """All parameters that define the pixels, as JSON, with the preset resolved and the size filled in.

        ``orient``, ``noise``, ``nodata`` and ``enlarge`` are left out if they have their default or no effect, and
        ``bursts``, which defines the version of the image.

        Raises:
            ValueError: a bbox or polygon hasn't been converted to a window.
        """
        if self.has_geometry:
            raise ValueError("a bbox or polygon must be converted to a window first")
        left_out = {"preset", "bbox", "bbox_crs", "polygon", "asset", "boxes", "bursts"}
        left_out |= {"orient"} if self.orient == "image" else set()
        left_out |= {"enlarge"} if self.enlarge == 1 else set()
        left_out |= {"nodata"} if self.nodata is None else set()
        left_out |= {"noise"} if self.calibration == "none" or self.noise == "remove" else set()
        params = self.model_dump(mode="json", exclude=left_out)
        return params | {"filter": self.speckle_filter, "size": self.size or model_size}


DEFAULT_RENDER = RenderParams()
"""The parameters of an image request without any."""
