"""OGC API - Tiles 1.0 (OGC 20-057): tile matrix sets, and the tilesets of the map of a scene."""

from __future__ import annotations

import asyncio
from math import floor
from typing import Any

from fastapi import APIRouter, Request, Response

from sarlens.api.common.auth import Authorizer
from sarlens.api.ogc.negotiation import base_url, link, negotiate_response, reject_unknown_params
from sarlens.api.tiles.scene_query import SceneQuery, SceneQueryParams, open_scene
from sarlens.api.tiles.tile_routes import TILES_PATH, TileMatrixSetId
from sarlens.imagery.scenes.tile_matrix_set import MAP_SETS, PIXELS, TILE_SIDE, definition, pixel_definition
from sarlens.imagery.service.scene_service import OpenScene, SceneService

_SETS_PATH = "/tileMatrixSets"
_SCHEME_REL = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


class OgcTiles:
    """Routes of tile matrix sets and tilesets."""

    def __init__(self, scenes: SceneService, authorizer: Authorizer, *, public_url: str | None) -> None:
        self._scenes = scenes
        self._authorizer = authorizer
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["OGC API Tiles"], default_response_class=Response)
        router.add_api_route(_SETS_PATH, self.tile_matrix_sets, methods=["GET"])
        router.add_api_route(_SETS_PATH + "/{tms}", self.tile_matrix_set, methods=["GET"])
        router.add_api_route(TILES_PATH, self.tilesets, methods=["GET"])
        router.add_api_route(TILES_PATH + "/{tms}", self.tileset, methods=["GET"])
        return router

    async def tile_matrix_sets(self, request: Request) -> Response:
        """List the tile matrix sets of maps."""
        reject_unknown_params(request)
        base = base_url(request, self._public_url)
        sets = [await asyncio.to_thread(definition, name) for name in MAP_SETS]
        listed = [
            {name: found[name] for name in ("id", "title", "uri", "crs")}
            | {"links": [link(f"{base}{_SETS_PATH}/{found['id']}", "self", found["title"])]}
            for found in sets
        ]
        links = [link(f"{base}{_SETS_PATH}", "self", "Tile matrix sets")]
        return negotiate_response(request, {"tileMatrixSets": listed, "links": links}, "Tile matrix sets")

    async def tile_matrix_set(self, request: Request, tms: TileMatrixSetId) -> Response:
        """Get the definition of a tile matrix set of maps (OGC 17-083r4)."""
        reject_unknown_params(request)
        found = await asyncio.to_thread(definition, tms)
        return negotiate_response(request, found, str(found["title"]))

    async def tilesets(self, request: Request, scene: SceneQueryParams) -> Response:
        """List the tilesets of a scene: one for each tile matrix set that fits it."""
        opened = await open_scene(request, self._scenes, self._authorizer, scene)
        base = base_url(request, self._public_url)
        tilesets = [await self._describe(opened, scene, base, name, full=False) for name in opened.scene.placements]
        links = [link(f"{base}{TILES_PATH}?{scene.query}", "self", "Tilesets")]
        return negotiate_response(request, {"tilesets": tilesets, "links": links}, "Tilesets")

    async def tileset(self, request: Request, tms: TileMatrixSetId, scene: SceneQueryParams) -> Response:
        """Describe the tiles of a scene in a tile matrix set: bounds, limits of each zoom level and the URL template.

        A link of relation `item` is the template. Its variables are `{tileMatrix}`, `{tileCol}` and `{tileRow}`.
        """
        opened = await open_scene(request, self._scenes, self._authorizer, scene)
        await self._scenes.placement(opened, tms)
        found = await self._describe(opened, scene, base_url(request, self._public_url), tms, full=True)
        return negotiate_response(request, found, "Tileset")

    async def _describe(
        self, opened: OpenScene, scene: SceneQuery, base: str, tms: str, *, full: bool
    ) -> dict[str, Any]:
        url = f"{base}{TILES_PATH}/{tms}"
        header, position = opened.scene.header, opened.scene.position
        document: dict[str, Any] = {"title": opened.resolved.source_image.name, "dataType": "map"}
        links = [link(f"{url}?{scene.query}", "self", "Tileset")]
        if tms == PIXELS:
            document["tileMatrixSet"] = pixel_definition(header.width, header.height)
        else:
            found = await asyncio.to_thread(definition, tms)
            document |= {"crs": found["crs"], "tileMatrixSetURI": found["uri"]}
            links.append(link(f"{base}{_SETS_PATH}/{tms}", _SCHEME_REL, found["title"]))
            if position and position.bounds:
                west, south, east, north = position.bounds
                document["boundingBox"] = {"lowerLeft": [west, south], "upperRight": [east, north], "crs": _CRS84}
        if full:
            template = f"{url}/{{tileMatrix}}/{{tileCol}}/{{tileRow}}?{scene.query}"
            links.append({**link(template, "item", "Tiles", "image/png"), "templated": True})
            document["tileMatrixSetLimits"] = _limits(opened, tms)
        return {**document, "links": links}


def _limits(opened: OpenScene, tms: str) -> list[dict[str, Any]]:
    """Return the tiles of each zoom level that the scene overlaps; all columns across the antimeridian."""
    placement = opened.scene.placements[tms]
    first, last = opened.scene.zooms(placement)
    limits = []
    for zoom in range(first, last + 1):
        side = TILE_SIDE * placement.tms.resolution(zoom)
        cols = [floor((x - placement.tms.left) / side) for box in placement.boxes for x in (box.left, box.right)]
        rows = [
            floor((y - placement.tms.top) / (placement.tms.down * side))
            for box in placement.boxes
            for y in (box.top, box.bottom)
        ]
        (left, right), (top, bottom) = ((max(0, min(values)), min(2**zoom - 1, max(values))) for values in (cols, rows))
        limits.append(
            {"tileMatrix": str(zoom), "minTileRow": top, "maxTileRow": bottom, "minTileCol": left, "maxTileCol": right}
        )
    return limits
