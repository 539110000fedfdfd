"""Coordinate reference systems: parse their names, and transform coordinates by PROJ."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.warp import transform as warp

from sarlens.errors import BadRequest

WGS84 = CRS.from_epsg(4326)
_CRS84 = re.compile(
    r"(?:OGC:|https?://www\.opengis\.net/def/crs/OGC/[\d.]+/|urn:ogc:def:crs:OGC:[\d.]*:)?CRS84", re.IGNORECASE
)
_EPSG = re.compile(
    r"(?:EPSG:|https?://www\.opengis\.net/def/crs/EPSG/[\d.]+/|urn:ogc:def:crs:EPSG:[\d.]*:)(\d{4,6})", re.IGNORECASE
)


def parse_crs(name: str) -> CRS:
    """Parse an OGC URI, a URN or ``EPSG:n``; other forms that PROJ understands, such as files, aren't supported.

    Raises:
        BadRequest: the CRS doesn't exist, or is neither geographic nor projected.
    """
    if _CRS84.fullmatch(name):
        return WGS84
    epsg = _EPSG.fullmatch(name)
    try:
        with proj_env():
            crs = CRS.from_epsg(int(epsg[1])) if epsg else None
    except (RasterioError, CPLE_BaseError, ValueError):
        crs = None
    if crs is None or not (crs.is_geographic or crs.is_projected):
        raise BadRequest(
            "bbox_crs isn't a known coordinate reference system. Write it as in EPSG:32631 or "
            "http://www.opengis.net/def/crs/OGC/1.3/CRS84.",
            param="sar.bbox_crs",
        )
    return crs


@cache
def epsg_crs(code: int) -> CRS:
    """Return the CRS of an EPSG code that the gateway itself names."""
    with proj_env():
        return CRS.from_epsg(code)


def proj_env() -> rasterio.Env:
    """An environment in which PROJ reports errors as exceptions only, and not on standard error too.

    Without it, rasterio also reads boto3's credential chain at every call, which takes 18 ms of CPU.
    """
    return rasterio.Env(session=DummySession())


def transform_coords(source: CRS, target: CRS, x: Any, y: Any) -> tuple[Any, Any]:
    """Transform coordinates, easting or longitude first in both CRSs; values without a position aren't finite.

    Raises:
        RasterioError, CPLE_BaseError, ValueError: PROJ fails.
    """
    with proj_env():
        x, y = warp(source, target, np.asarray(x, float), np.asarray(y, float))
    return np.asarray(x, float), np.asarray(y, float)
