"""``GET /v1/sar/scene``: what a scene is, where it is, and how to look at it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from sarlens.api.common.auth import Authorizer
from sarlens.api.jobs.responses import json_response
from sarlens.api.tiles.scene_query import SceneQueryParams, open_scene
from sarlens.imagery.scenes.acquisition import acquisition_document
from sarlens.imagery.service.scene_service import OpenScene, SceneService
from sarlens.inference.pipeline import InferencePipeline
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import BandUrls


def scene_router(scenes: SceneService, inference: InferencePipeline, authorizer: Authorizer) -> APIRouter:
    """The route that describes a scene."""
    router = APIRouter(tags=["scenes"])

    @router.get("/v1/sar/scene", response_class=Response)
    async def scene(request: Request, scene: SceneQueryParams) -> Response:
        """Describe a scene: size, bands, data type, position, resolutions, calibrations, acquisition and tiles.

        A product that has several swaths is described by the first one, unless `swath` names another. Its tiles need a
        swath.
        """
        opened = await open_scene(request, scenes, authorizer, scene, any_swath=True)
        document = _describe(opened, scene.url)
        document["acquisition"]["looks"] = document["acquisition"]["looks"] or await scenes.looks(
            opened, request.state.context.policy
        )
        document["tile"] = _tile_sizes(inference, request.state.context.policy)
        zooms = {name: opened.scene.zooms(placement) for name, placement in opened.scene.placements.items()}
        document["tile_matrix_sets"] = list(zooms)
        document["min_zoom"] = {name: first for name, (first, _) in zooms.items()}
        document["max_zoom"] = {name: last for name, (_, last) in zooms.items()}
        return json_response(document)

    return router


def _describe(opened: OpenScene, url: str | BandUrls) -> dict[str, Any]:
    source_image, header, position = opened.resolved.source_image, opened.scene.header, opened.scene.position
    return {
        "url": url,
        "width": header.width,
        "height": header.height,
        "bands": list(opened.bands),
        "polarizations": list(opened.polarizations),
        "data_type": header.data_type,
        "crs": position and position.crs,
        "placement": position and position.kind,
        "footprint": position and position.footprint,
        "bounds": position and position.bounds,
        "mesh": position and position.mesh,
        "pixel_size_m": position and position.pixel_size_m,
        "overviews": [round(header.width / level.width) for level in header.levels[1:]],
        "swath": source_image.swath,
        "swaths": list(source_image.swaths),
        "calibrations": list(opened.calibrations),
        "acquisition": acquisition_document(source_image, header),
    }


def _tile_sizes(inference: InferencePipeline, policy: CallerPolicy) -> dict[str, int]:
    """Return what each model that the caller can use sees: the longest side of an image in pixels."""
    names = [name for name in inference.pool.models() if policy.can_use(name)]
    return {name: inference.profile(name).size for name in names}
