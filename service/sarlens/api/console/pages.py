"""``/console``: the map console, one page whose files come from the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from fastapi import APIRouter, Request, Response
from yarl import URL

from sarlens.api.console.files import send_file

PATH = "/console"


@dataclass(frozen=True)
class ConsoleConfig:
    """What the console shows next to scenes."""

    scenes: Mapping[str, str] = field(default_factory=dict)
    """Question of each scene on the first screen, by its URL; the question can be empty."""
    basemap_url: str | None = None
    """URL template of map tiles with ``{z}``, ``{x}`` and ``{y}``, in WebMercatorQuad; None for no basemap."""
    basemap_attribution: str = ""
    """Plain text that names the source of the basemap."""

    @property
    def content_security_policy(self) -> str:
        """The policy of the page: no other host than that of the basemap, and nothing inline."""
        basemap = f" {URL(self.basemap_url).origin()}" if self.basemap_url else ""
        return (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:{basemap}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def to_json(self) -> bytes:
        """Return the configuration as the page reads it."""
        basemap = {"url": self.basemap_url, "attribution": self.basemap_attribution} if self.basemap_url else None
        return orjson.dumps({"scenes": dict(self.scenes), "basemap": basemap})


def console_router(config: ConsoleConfig) -> APIRouter:
    """Return the routes of the console. They need no API key; the page sends one with its requests to the API."""
    router = APIRouter(include_in_schema=False, default_response_class=Response)
    policy = config.content_security_policy

    @router.get(PATH)
    def page(request: Request) -> Response:
        """Get the page."""
        return send_file(request, "console/index.html", policy)

    @router.get(PATH + "/config.json")
    async def configuration() -> Response:
        """Get the scenes of the first screen, and the basemap."""
        return Response(config.to_json(), media_type="application/json", headers={"Cache-Control": "no-cache"})

    @router.get(PATH + "/{name}")
    def file(request: Request, name: str) -> Response:
        """Get a file of the page."""
        return send_file(request, f"console/{name}", policy)

    return router
