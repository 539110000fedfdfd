"""Where OGC clients begin: the landing page, and what this service conforms to."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sarlens.ingress.ogc.page import HTML, JSON, base_of, known_only, link, shown

_PROCESSES = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/"
_REL = "http://www.opengis.net/def/rel/ogc/1.0/"

_OPENAPI = "application/vnd.oai.openapi+json;version=3.1"

CONFORMS_TO = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    *(_PROCESSES + name for name in ("core", "json", "html", "ogc-process-description", "job-list", "dismiss")),
    *(_FEATURES + name for name in ("core", "geojson")),
]


def landing_router(public_url: str | None) -> APIRouter:
    """The routes that lead to all others."""
    router = APIRouter(tags=["OGC API"], default_response_class=Response)

    @router.get("/")
    async def landing(request: Request) -> Response:
        """What there is here."""
        known_only(request)
        base = base_of(request, public_url)
        links = [
            link(f"{base}/", "self", "This page"),
            link(
                f"{base}/openapi.json",
                "service-desc",
                "The API, as OpenAPI",
                _OPENAPI,
            ),
            link(f"{base}/docs", "service-doc", "The API, as a page", HTML),
            link(f"{base}/conformance", "conformance", "What this service conforms to"),
            link(f"{base}/conformance", f"{_REL}conformance", "What this service conforms to"),
            link(f"{base}/processes", f"{_REL}processes", "What can be asked of images"),
            link(f"{base}/jobs", f"{_REL}job-list", "Jobs"),
            link(f"{base}/collections", "data", "Answers as features"),
        ]
        told = {"title": "Sarlens", "description": "Ask questions of radar images.", "links": links}
        return shown(request, told, "Sarlens")

    @router.get("/conformance")
    async def conformance(request: Request) -> Response:
        """The conformance classes that hold here."""
        known_only(request)
        own = [link(f"{base_of(request, public_url)}/conformance", "self", "This page", JSON)]
        return shown(request, {"conformsTo": CONFORMS_TO, "links": own}, "Conformance")

    return router
