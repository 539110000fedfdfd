"""The configuration of uvicorn that the servers of a process share."""

from __future__ import annotations

from typing import Any

import uvicorn

from sarlens.api.app.asgi import GatewayApp


def uvicorn_config(app: GatewayApp, http: Any) -> uvicorn.Config:
    """Return the configuration of a server; ``http`` is uvicorn's name or the factory of its HTTP protocol."""
    return uvicorn.Config(
        app,
        http=http,
        interface="asgi3",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
