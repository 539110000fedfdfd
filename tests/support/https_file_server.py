"""A real HTTPS server of files, with ranges and ETags."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web


@dataclass
class FileServer:
    """The port of a server, and what it was asked for."""

    port: int = 0
    ranges: list[str | None] = field(default_factory=list)
    """Header Range of each request."""


@asynccontextmanager
async def https_files(folder: Path, tls: ssl.SSLContext) -> AsyncIterator[FileServer]:
    """Serve the files of a folder."""
    server = FileServer()

    async def serve(request: web.Request) -> web.StreamResponse:
        server.ranges.append(request.headers.get("Range"))
        return web.FileResponse(folder / request.match_info["name"])

    app = web.Application()
    app.router.add_get("/{name}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
