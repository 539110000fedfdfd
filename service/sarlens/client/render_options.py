"""Render parameters as keyword arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from sarlens.chat.query import parse_render
from sarlens.client.errors import GatewayError
from sarlens.errors import BadRequest
from sarlens.types.render_params import BoxPixels, Bursts, Calibration, Filter, Noise, Orient, Preset, Scale


class RenderOptions(TypedDict, total=False):
    """Part of an image to show, and how to render it: the fields of the ``sar`` object of the REST API."""

    window: Sequence[int]
    """Column, row, width and height in pixels of the full resolution."""
    bbox: Sequence[float]
    """West, south, east and north in ``bbox_crs``, by default in degrees."""
    bbox_crs: str
    """CRS of ``bbox``, such as ``EPSG:32631``."""
    polygon: Mapping[str, Any]
    """GeoJSON Polygon, MultiPolygon, Feature or FeatureCollection in longitude and latitude."""
    asset: str
    """Key of an asset, if the image is a STAC Item."""
    bands: Sequence[str | int]
    """Names or 1-based numbers of one to three bands."""
    swath: str
    """Swath of a product, such as ``IW1``."""
    bursts: Bursts
    """``keep`` stacks the bursts of a Sentinel-1 SLC swath as the file does."""
    preset: Preset
    filter: Filter
    scale: Scale
    calibration: Calibration
    noise: Noise
    """``keep`` calibrates a Sentinel-1 product without removing the thermal noise."""
    nodata: float
    """Stored number of pixels without a measurement, in place of the value that a TIFF declares."""
    looks: Sequence[int]
    """Pixels to average along a row and along a column."""
    stretch: Sequence[float]
    """Percentiles that become black and white."""
    size: int
    """Longest side of the rendered image in pixels."""
    enlarge: int
    """Largest factor by which a picture smaller than ``size`` is enlarged."""
    orient: Orient
    """``north`` flips or turns the picture by right angles so that north is up."""
    boxes: BoxPixels
    """Pixels of boxes in questions: those of the ``image``, or those of the ``picture`` that the model sees."""


def check_render_options(render: RenderOptions) -> dict[str, Any]:
    """Return the options as a ``sar`` object.

    Raises:
        GatewayError: an option is unknown or invalid.
    """
    sar = {name: value for name, value in render.items() if value is not None}
    try:
        parse_render(sar, "sar")
    except BadRequest as error:
        raise GatewayError(error.message, status=error.status, code=error.code) from None
    return sar


def to_query(sar: Mapping[str, Any]) -> dict[str, str]:
    """Write a ``sar`` object as fields of a query string: lists with commas, polygons as JSON."""
    return {name: _to_text(value) for name, value in sar.items()}


def _to_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
