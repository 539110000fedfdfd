"""``GET /v1/sar/tiles/…``: the tiles of a scene, as the model sees it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.responses import has_etag
from sarlens.api.jobs.responses import json_response
from sarlens.api.ogc.negotiation import base_url
from sarlens.api.tiles.scene_query import SceneQuery, SceneQueryParams, open_scene
from sarlens.imagery.scenes.tile_matrix_set import PIXELS, WEB_MERCATOR, TileIndex
from sarlens.imagery.service.scene_service import SceneService

TILES_PATH = "/v1/sar/tiles"
MAX_AGE_S = 300
"""Seconds for which a client may show a tile without a request."""

TileMatrixSetId = Annotated[
    str, Path(max_length=64, description="Tile matrix set: `WebMercatorQuad`, a polar one, or `pixels`")
]
Zoom = Annotated[int, Path(ge=0, le=30, description="Zoom level")]
Column = Annotated[int, Path(ge=0, lt=2**30, description="Column, from the left")]
Row = Annotated[int, Path(ge=0, lt=2**30, description="Row, from the top")]


class Tiles:
    """Routes of tiles and TileJSON."""

    def __init__(self, scenes: SceneService, authorizer: Authorizer, *, public_url: str | None) -> None:
        self._scenes = scenes
        self._authorizer = authorizer
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["scenes"], default_response_class=Response)
        png: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
        router.add_api_route("/v1/sar/tilejson.json", self.tilejson, methods=["GET"])
        router.add_api_route(TILES_PATH + "/{z}/{x}/{y}", self.mercator_tile, methods=["GET"], responses=png)
        router.add_api_route(TILES_PATH + "/{tms}/{z}/{x}/{y}", self.tile, methods=["GET"], responses=png)
        return router

    async def mercator_tile(self, request: Request, z: Zoom, x: Column, y: Row, scene: SceneQueryParams) -> Response:
        """Render a tile of WebMercatorQuad; see the route with a tile matrix set."""
        return await self._tile(request, scene, WEB_MERCATOR, TileIndex(z, x, y))

    async def tile(
        self, request: Request, tms: TileMatrixSetId, z: Zoom, x: Column, y: Row, scene: SceneQueryParams
    ) -> Response:
        """Render a tile of 256 x 256 pixels, transparent where the scene has no valid pixel.

        The parameters are fields of the `sar` object. All tiles of a scene have one stretch. The `ETag` is the id of
        the tile; with `If-None-Match` and the same tile, the response is 304.
        """
        return await self._tile(request, scene, tms, TileIndex(z, x, y))

    async def _tile(self, request: Request, scene: SceneQuery, tms: str, tile: TileIndex) -> Response:
        caller = request.state.context
        await self._authorizer.authorize_tile(caller.key, scene.image_request)
        opened = await self._scenes.open(scene.image_request, caller.policy)
        scope = "public" if caller.key is None else "private"
        headers = {"ETag": f'"{opened.tile_id(tms, tile)}"', "Cache-Control": f"{scope}, max-age={MAX_AGE_S}"}
        headers["Sarlens-Radiometry"] = scene.render.radiometry
        if has_etag(request.headers.getlist("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        rendered = await self._scenes.tile(opened, tms, tile, caller.client)
        return Response(rendered.data, media_type=rendered.media_type, headers=headers)

    async def tilejson(
        self,
        request: Request,
        scene: SceneQueryParams,
        tms: Annotated[str, Query(max_length=64, description="Tile matrix set of the tiles")] = WEB_MERCATOR,
    ) -> Response:
        """Describe the tiles of a scene as TileJSON 3.0.0."""
        opened = await open_scene(request, self._scenes, self._authorizer, scene)
        zooms = opened.scene.zooms(await self._scenes.placement(opened, tms))
        path = TILES_PATH if tms == WEB_MERCATOR else f"{TILES_PATH}/{tms}"
        base = base_url(request, self._public_url)
        document = {
            "tilejson": "3.0.0",
            "name": opened.resolved.source_image.name.rstrip("/").rpartition("/")[2],
            "version": "1.0.0",
            "scheme": "xyz",
            "tiles": [f"{base}{path}/{{z}}/{{x}}/{{y}}?{scene.query}"],
            "minzoom": zooms[0],
            "maxzoom": zooms[1],
        }
        position = opened.scene.position
        if tms != PIXELS and position is not None and position.bounds is not None:
            west, south, east, north = position.bounds
            middle = (west + (east if east >= west else east + 360)) / 2
            # TileJSON has no bounds across the antimeridian.
            document["bounds"] = [west, south, east, north] if west <= east else [-180.0, south, 180.0, north]
            document["center"] = [(middle + 180) % 360 - 180, (south + north) / 2, zooms[0]]
        return json_response(document)
