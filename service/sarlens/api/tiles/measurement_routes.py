"""``GET /v1/sar/statistics`` and ``GET /v1/sar/point``: measurements of a scene in linear power and decibels."""

from __future__ import annotations

from math import floor
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from sarlens.api.common.auth import Authorizer
from sarlens.api.jobs.responses import json_response
from sarlens.api.tiles.scene_query import SceneQuery, SceneQueryParams, open_scene
from sarlens.chat.query import parse_render, parse_render_query
from sarlens.errors import BadRequest
from sarlens.imagery.service.scene_service import OpenScene, SceneService

_Pixel = Annotated[int | None, Query(ge=0, lt=2**31, description="Column or row, from 0 at the upper left")]


class Measurements:
    """Routes of measurements."""

    def __init__(self, scenes: SceneService, authorizer: Authorizer) -> None:
        self._scenes = scenes
        self._authorizer = authorizer

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["scenes"], default_response_class=Response)
        router.add_api_route("/v1/sar/statistics", self.statistics, methods=["GET"])
        router.add_api_route("/v1/sar/point", self.point, methods=["GET"])
        return router

    async def statistics(
        self,
        request: Request,
        scene: SceneQueryParams,
        window: Annotated[str | None, Query(description="`col,row,width,height` in pixels; default: all")] = None,
    ) -> Response:
        """Measure a window: minimum, maximum, mean, percentiles and share of valid pixels of each band.

        `linear` is power, or the backscatter coefficient that `calibration` names. `db` are its decibels; the mean in
        decibels is that of the mean power. An 8-bit image has `levels` instead. A window longer than 2,048 pixels is
        measured in averages; `reduction` is the number of pixels along a side of each. No speckle filter is applied.
        """
        render = parse_render(parse_render_query({} if window is None else {"window": window}), "sar")
        opened = await open_scene(request, self._scenes, self._authorizer, scene)
        found = await self._scenes.statistics(opened, render.window if render else None)
        return json_response({"url": scene.url, **_radiometry(scene), **found})

    async def point(
        self,
        request: Request,
        scene: SceneQueryParams,
        lon: Annotated[float | None, Query(ge=-360, le=360, description="Longitude in degrees")] = None,
        lat: Annotated[float | None, Query(ge=-90, le=90, description="Latitude in degrees")] = None,
        x: _Pixel = None,
        y: _Pixel = None,
    ) -> Response:
        """Measure the pixel at `lon` and `lat`, or at the column `x` and the row `y` of the full resolution.

        The response has the pixel, the position of its center if the image is georeferenced, and the values of each
        band, as in statistics.
        """
        if (lon is None, lat is None) != (x is not None, x is not None) or (x is None) != (y is None):
            raise BadRequest("Send either lon and lat in degrees, or x and y in pixels.", param="lon")
        opened = await open_scene(request, self._scenes, self._authorizer, scene)
        col, row = (x, y) if x is not None and y is not None else await self._locate(opened, lon or 0.0, lat or 0.0)
        bands = await self._scenes.pixel(opened, col, row)
        center = await self._scenes.position_of(opened, col + 0.5, row + 0.5)
        position = dict(zip(("lon", "lat"), center or (None, None), strict=True))
        return json_response({"url": scene.url, "x": col, "y": row, **position, **_radiometry(scene), "bands": bands})

    async def _locate(self, opened: OpenScene, lon: float, lat: float) -> tuple[int, int]:
        col, row = await self._scenes.locate(opened, lon, lat)
        return floor(col), floor(row)


def _radiometry(scene: SceneQuery) -> dict[str, Any]:
    return {"radiometry": scene.render.radiometry}
