"""gRPC calls with the same request context, telemetry and errors as HTTP requests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import unquote

import grpc
import structlog

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.drain import DrainController
from sarlens.api.common.error_responses import INTERNAL_ERROR_MESSAGE
from sarlens.api.common.request_context import RequestContext, RequestHeaders
from sarlens.api.common.request_recorder import RequestRecord, RequestRecorder
from sarlens.errors import SarlensError
from sarlens.observability.metrics import CLIENT_CLOSED_REQUEST

log = structlog.get_logger(__name__)

_FAR_FUTURE_S = 1e6

Metadata = Iterable[tuple[str, str | bytes]]


class GrpcCallContext:
    """Drain, authentication, deadline, telemetry and error rendering of gRPC calls."""

    def __init__(self, authorizer: Authorizer, drain: DrainController, recorder: RequestRecorder) -> None:
        self._authorizer = authorizer
        self._drain = drain
        self._recorder = recorder

    @asynccontextmanager
    async def handle(self, call: Any, route: str) -> AsyncIterator[RequestContext]:
        """Serve one call within the block; an error in it aborts the call with the status of the error table.

        The trailing metadata has the route receipt if the client requested it.
        """
        headers = parse_metadata(call.invocation_metadata())
        trailing: list[tuple[str, str]] = []
        try:
            with self.record(headers, route) as record:
                try:
                    yield self.authenticate(headers, call)
                finally:
                    if receipt := record.take_route_field():
                        trailing.append(("sarlens-route", receipt))
            if trailing:
                call.set_trailing_metadata(tuple(trailing))
        except SarlensError as error:
            trailing += [("sarlens-code", error.code), ("x-request-id", headers.request_id)]
            if error.retry_after is not None:
                trailing.append(("retry-after", str(error.retry_after)))
            await call.abort(grpc.StatusCode[error.grpc_status], error.message, tuple(trailing))

    def key_error(self, metadata: Metadata | None) -> SarlensError | None:
        """The error about a missing, unknown or disabled API key, before the message of a call is read."""
        try:
            self._authorizer.authenticate(parse_metadata(metadata))
        except SarlensError as error:
            return error
        return None

    def key_name(self, call: Any) -> str | None:
        """The name of the API key of a call; None without keys.

        Raises:
            Unauthenticated: the API key is missing, unknown or disabled.
        """
        key = self._authorizer.authenticate(parse_metadata(call.invocation_metadata()))
        return None if key is None else key.name

    @contextmanager
    def record(self, headers: RequestHeaders, route: str) -> Iterator[RequestRecord]:
        """Record the block as one request, of which a stream has many.

        Raises:
            SarlensError: the block raised it, or an unexpected exception, which is logged.
        """
        with self._recorder.record(headers) as record:
            record.route, record.status, record.effective_status = route, "CANCELLED", CLIENT_CLOSED_REQUEST
            try:
                with self._drain.track_request():
                    yield record
                record.status, record.effective_status = "OK", 200
            except SarlensError as error:
                record.status = error.grpc_status
                record.set_error(error)
                raise
            except Exception:
                log.exception("unexpected error", request_id=headers.request_id, path=route)
                record.status = SarlensError.grpc_status
                record.set_error(unexpected := SarlensError(INTERNAL_ERROR_MESSAGE))
                raise unexpected from None
            finally:
                record.attributes = {
                    "rpc.system.name": "grpc",
                    "rpc.method": route.removeprefix("/"),
                    "rpc.response.status_code": record.status,
                }

    def authenticate(self, headers: RequestHeaders, call: Any) -> RequestContext:
        """The context of a request by the API key of its metadata and the deadline of its call.

        Raises:
            Unauthenticated: the API key is missing, unknown or disabled.
        """
        remaining_s = call.time_remaining()
        # Some versions of gRPC give a call without a deadline one in the far future.
        deadline = time.time() + remaining_s if remaining_s is not None and remaining_s < _FAR_FUTURE_S else None
        key = self._authorizer.authenticate(headers)
        return RequestContext.from_key(headers.request_id, key, deadline, address=peer_address(call.peer()))


def peer_address(peer: str) -> str:
    """The IP address of a peer such as ``ipv4:10.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    _, _, host = unquote(peer).partition(":")
    return host.rpartition(":")[0].strip("[]")


def parse_metadata(metadata: Metadata | None) -> RequestHeaders:
    """The request's headers from the metadata of a call."""
    return RequestHeaders.parse(
        (name.encode(), value.encode() if isinstance(value, str) else value) for name, value in metadata or ()
    )
