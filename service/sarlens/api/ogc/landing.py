"""Landing page and conformance declaration of the OGC APIs."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sarlens.api.ogc.negotiation import (
    HTML,
    JSON,
    base_url,
    link,
    negotiate_response,
    reject_unknown_params,
    wants_html,
)

_PROCESSES = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/"
_SCHEMAS = "http://www.opengis.net/spec/ogcapi-features-5/1.0/conf/"
_TILES = "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/"
_TILE_MATRIX_SETS = "http://www.opengis.net/spec/tms/2.0/conf/"
_REL = "http://www.opengis.net/def/rel/ogc/1.0/"

_CONSOLE = "console"
"""Location of the map console, relative to the landing page."""
_OPENAPI = "application/vnd.oai.openapi+json;version=3.1"

CONFORMS_TO = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    *(_PROCESSES + name for name in ("core", "json", "html", "ogc-process-description", "job-list", "dismiss")),
    *(_FEATURES + name for name in ("core", "geojson")),
    *(_TILES + name for name in ("core", "tileset", "tilesets-list", "png")),
    *(
        _TILE_MATRIX_SETS + name
        for name in ("tilematrixset", "tilematrixsetlimits", "json-tilematrixset", "json-tilematrixsetlimits")
    ),
    *(_SCHEMAS + name for name in ("schemas", "core-roles-features")),
]


def landing_router(public_url: str | None) -> APIRouter:
    """Return the routes of the landing page and the conformance declaration."""
    router = APIRouter(tags=["OGC API"], default_response_class=Response)

    @router.get("/")
    async def landing(request: Request) -> Response:
        """Get the landing page with links to the API. A client that prefers HTML is redirected to the console."""
        reject_unknown_params(request)
        vary = {"Vary": "Accept"}
        if wants_html(request) and "f" not in request.query_params:
            return Response(status_code=303, headers={**vary, "Location": _CONSOLE})
        base = base_url(request, public_url)
        links = [
            link(f"{base}/", "self", "This page"),
            link(f"{base}/?f=html", "alternate", "This page as HTML", HTML),
            link(f"{base}/openapi.json", "service-desc", "OpenAPI document", _OPENAPI),
            link(f"{base}/docs", "service-doc", "API documentation", HTML),
            link(f"{base}/conformance", "conformance", "Conformance classes"),
            link(f"{base}/conformance", f"{_REL}conformance", "Conformance classes"),
            link(f"{base}/processes", f"{_REL}processes", "Processes"),
            link(f"{base}/jobs", f"{_REL}job-list", "Jobs"),
            link(f"{base}/collections", "data", "Answers as features"),
            link(f"{base}/tileMatrixSets", f"{_REL}tiling-schemes", "Tile matrix sets"),
        ]
        description = "Questions about radar images, answered by vision-language models."
        document = {"title": "Sarlens", "description": description, "links": links}
        return negotiate_response(request, document, "Sarlens", headers=vary)

    @router.get("/conformance")
    async def conformance(request: Request) -> Response:
        """List the OGC conformance classes."""
        reject_unknown_params(request)
        links = [link(f"{base_url(request, public_url)}/conformance", "self", "This page", JSON)]
        return negotiate_response(request, {"conformsTo": CONFORMS_TO, "links": links}, "Conformance")

    return router
