"""The ASGI application: the middlewares, and behind them the completion routes and FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from sarlens.api.common.drain import DrainController
from sarlens.api.common.responses import HEADERS_ONLY
from sarlens.api.openai.completions import Completions
from sarlens.chat.paths import COMPLETION_PATHS
from sarlens.errors import BadRequest
from sarlens.observability.metrics import Metrics

_MAX_QUERY_BYTES = 64 * 2**10
_MAX_QUERY_FIELDS = 64


class GatewayApp:
    """Serves HTTP through a list of middlewares, the first one outermost. The lifespan is FastAPI's.

    ``management`` is the application of the management port, if the gateway has one.
    """

    def __init__(
        self,
        routes: ASGIApp,
        fastapi: ASGIApp,
        middlewares: Sequence[Middleware],
        drain_controller: DrainController,
        metrics: Metrics,
        management: GatewayApp | None = None,
    ) -> None:
        self.drain_controller = drain_controller
        self.metrics = metrics
        self.management = management
        self._fastapi = fastapi
        self._http = routes
        for cls, args, kwargs in reversed(middlewares):
            self._http = cls(self._http, *args, **kwargs)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection."""
        if scope["type"] != "http":
            return self._fastapi(scope, receive, send)
        if scope["method"] == "HEAD":
            # The routes answer HEAD as GET; the server, whose scope keeps HEAD, sends no body.
            scope = {**scope, "method": "GET", HEADERS_ONLY: True}
        return self._http(scope, receive, send)


class Routes:
    """Sends requests to the completion routes directly, and all others to FastAPI."""

    def __init__(self, completions: Completions, fastapi: ASGIApp) -> None:
        self._completions = completions
        self._fastapi = fastapi

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request."""
        if scope["path"] in COMPLETION_PATHS:
            return self._completions(scope, receive, send)
        _check_query(scope["query_string"])
        return self._fastapi(scope, receive, send)


def _check_query(query: bytes) -> None:
    """Raise BadRequest for a query string that no route supports, before it is parsed."""
    if len(query) > _MAX_QUERY_BYTES or query.count(b"&") >= _MAX_QUERY_FIELDS:
        raise BadRequest(
            f"The query string can have at most {_MAX_QUERY_BYTES} bytes and {_MAX_QUERY_FIELDS} parameters."
        )
