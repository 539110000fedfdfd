"""``/docs`` and ``/redoc``: the OpenAPI document as interactive pages, whose files come from the package."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sarlens.api.console.files import send_file

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI and ReDoc set styles inline. Scripts come from the package only."""


def documentation_router() -> APIRouter:
    """Return the routes of the documentation pages. They need no API key; the document that they load does."""
    router = APIRouter(include_in_schema=False, default_response_class=Response)

    @router.get("/docs")
    def docs(request: Request) -> Response:
        """Get the page with Swagger UI."""
        return send_file(request, "docs/index.html", _CONTENT_SECURITY_POLICY)

    @router.get("/docs/{name}")
    def docs_file(request: Request, name: str) -> Response:
        """Get a file of the page."""
        return send_file(request, f"docs/{name}", _CONTENT_SECURITY_POLICY)

    @router.get("/redoc")
    def redoc(request: Request) -> Response:
        """Get the page with ReDoc."""
        return send_file(request, "redoc/index.html", _CONTENT_SECURITY_POLICY)

    @router.get("/redoc/{name}")
    def redoc_file(request: Request, name: str) -> Response:
        """Get a file of the page."""
        return send_file(request, f"redoc/{name}", _CONTENT_SECURITY_POLICY)

    return router
