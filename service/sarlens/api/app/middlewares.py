"""ASGI middlewares of the gateway, in the order of the list in ``build``.

``scope["state"]`` carries what they find: ``headers`` (``RequestHeaders``), ``record`` (``RequestRecord``) and, on
protected paths, ``context`` (``RequestContext``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.disconnect import ClientDisconnected
from sarlens.api.common.drain import DrainController
from sarlens.api.common.error_responses import INTERNAL_ERROR_MESSAGE, send_error
from sarlens.api.common.request_context import RequestContext, RequestHeaders, parse_deadline
from sarlens.api.common.request_recorder import RequestRecord, RequestRecorder
from sarlens.chat.paths import COMPLETION_PATHS, TOKEN_PATHS
from sarlens.errors import SarlensError
from sarlens.observability.metrics import CLIENT_CLOSED_REQUEST

log = structlog.get_logger(__name__)

PROTECTED_PREFIXES = (
    "/v1/",
    "/v2/models",
    "/v2/repository",
    "/v2/systemsharedmemory",
    "/v2/cudasharedmemory",
    "/processes",
    "/jobs",
    "/collections",
    "/mcp",
    *sorted(TOKEN_PATHS),
)
"""Paths that require an API key if the gateway has keys, are traced, and are rejected while the gateway drains."""

_KEYED_PATHS = frozenset({"/metrics", "/openapi.json"})
"""Other paths that require an API key if the gateway has keys."""


class ProtectedPaths:
    """The paths that begin with one of ``PROTECTED_PREFIXES``, and the worker routes of the settings."""

    def __init__(self, forwarded: Iterable[str] = ()) -> None:
        self._forwarded = frozenset(forwarded)

    def __contains__(self, path: str) -> bool:
        return path.startswith(PROTECTED_PREFIXES) or path in self._forwarded


class RequestIdMiddleware:
    """Parses the request's headers, once, and adds the request id to the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request."""
        headers = RequestHeaders.parse(scope["headers"])
        scope.setdefault("state", {})["headers"] = headers
        header = (b"x-request-id", headers.request_id.encode())

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            return send(message)

        return self._app(scope, receive, send_with_id)


class TelemetryMiddleware:
    """Records the request in metrics, access log and trace, by its route and the status that was sent.

    An error is answered in the format of the path's protocol; an unexpected exception is logged and becomes a 500. The
    response has the route receipt if the client requested it.
    """

    def __init__(self, app: ASGIApp, recorder: RequestRecorder, protected: ProtectedPaths) -> None:
        self._app = app
        self._recorder = recorder
        self._protected = protected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        state, path = scope["state"], scope["path"]
        with self._recorder.record(state["headers"], traced=path in self._protected) as record:
            state["record"] = record
            response = _RecordedResponse(record, send)
            problem: SarlensError | None = None
            try:
                await self._app(scope, receive, response.send)
            except ClientDisconnected:
                response.mark_gone()
            except SarlensError as error:
                problem = error
            except Exception:
                log.exception("unexpected error", request_id=record.request_id, path=path)
                problem = SarlensError(INTERNAL_ERROR_MESSAGE)
            if problem is not None:
                await response.end_with(problem, path)
            status = record.status = response.status
            record.effective_status = record.effective_status or status
            record.route = path if path in COMPLETION_PATHS else getattr(scope.get("route"), "path", "other")
            record.attributes = {
                "http.request.method": scope["method"],
                "http.route": record.route,
                "http.response.status_code": status,
            }


class _RecordedResponse:
    """A response whose status is noted; it has the route receipt if the client requested it."""

    __slots__ = ("_record", "_send", "status")

    def __init__(self, record: RequestRecord, send: Send) -> None:
        self._record = record
        self._send = send
        self.status = 0
        """The status that was sent; 0 before."""

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if route := self._record.take_route_field():
                message["headers"] = [*message["headers"], (b"sarlens-route", route.encode())]
        return self._send(message)

    async def end_with(self, problem: SarlensError, path: str) -> None:
        """Count an error, and send it unless the response has begun."""
        self._record.set_error(problem)
        # The traceback has frames with the body of the request; a cycle would keep both until a garbage collection.
        problem.__traceback__ = None
        if self.status:
            return
        try:
            await send_error(self.send, problem, path, self._record.request_id)
        except ClientDisconnected:
            self.mark_gone()

    def mark_gone(self) -> None:
        """Note that the client has disconnected."""
        self.status = self._record.effective_status = CLIENT_CLOSED_REQUEST


class AccessMiddleware:
    """Requires an API key on protected and keyed paths, and makes the request's context, with its deadline.

    Requests to protected paths are counted as in flight, and rejected while the gateway drains.
    """

    def __init__(self, app: ASGIApp, authorizer: Authorizer, drain: DrainController, protected: ProtectedPaths) -> None:
        self._app = app
        self._authorizer = authorizer
        self._drain = drain
        self._protected = protected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        path = scope["path"]
        if path in self._protected:
            with self._drain.track_request():
                self._add_context(scope)
                await self._app(scope, receive, send)
            return
        if path in _KEYED_PATHS:
            self._add_context(scope)
        await self._app(scope, receive, send)

    def _add_context(self, scope: Scope) -> None:
        """Authenticate the caller, then read the deadline.

        Raises:
            Unauthenticated: the key is missing or unknown.
            BadRequest, DeadlineExceeded: the deadline is malformed or in the past.
        """
        headers: RequestHeaders = scope["state"]["headers"]
        key = self._authorizer.authenticate(headers)
        deadline = None if headers.deadline is None else parse_deadline(headers.deadline)
        address = scope["client"][0] if scope.get("client") else ""
        scope["state"]["context"] = RequestContext.from_key(headers.request_id, key, deadline, address=address)
