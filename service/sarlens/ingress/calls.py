"""What every gRPC call has: a caller, a place in the metrics, and an error from the one table."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter
from typing import Any

import grpc
import structlog

from sarlens.errors import SarlensError
from sarlens.ingress.caller import Caller, request_id
from sarlens.ingress.door import Door
from sarlens.ingress.duty import Duty
from sarlens.ingress.replies import UNEXPECTED
from sarlens.metrics import Metrics

log = structlog.get_logger(__name__)


class Calls:
    """Lets calls in and counts them."""

    def __init__(self, door: Door, duty: Duty, metrics: Metrics) -> None:
        self._door = door
        self._duty = duty
        self._metrics = metrics

    @asynccontextmanager
    async def call(self, context: Any, route: str) -> AsyncIterator[Caller]:
        """One call under way; an error inside ends it with the code of the table."""
        headers = _headers(context)
        name = request_id(headers)
        try:
            with self.counted(route, name):
                yield self.caller(context, name)
        except SarlensError as error:
            trailing = [("sarlens-code", error.code), ("x-request-id", name)]
            if error.retry_after is not None:
                trailing.append(("retry-after", str(error.retry_after)))
            await context.abort(grpc.StatusCode[error.rpc], error.message, tuple(trailing))

    @contextmanager
    def counted(self, route: str, name: str) -> Iterator[None]:
        """Count what is inside as one request.

        Raises:
            SarlensError: as inside; what is none of ours is logged and becomes one.
        """
        arrived, status = perf_counter(), "CANCELLED"
        try:
            with self._duty.request():
                yield
            status = "OK"
        except SarlensError as error:
            status = error.rpc
            self._metrics.errors.labels(error.code).inc()
            if error.status >= 500:
                log.warning("request refused", request_id=name, code=error.code, reason=error.message)
            raise
        except Exception:
            log.exception("request failed", request_id=name, path=route)
            status = SarlensError.rpc
            self._metrics.errors.labels(SarlensError.code).inc()
            raise SarlensError(UNEXPECTED) from None
        finally:
            self._metrics.requests.labels(route, status).inc()
            self._metrics.latency.labels(route).observe(perf_counter() - arrived)

    def caller(self, context: Any, name: str) -> Caller:
        """Who calls, by the key in the metadata; the call's deadline is the request's.

        Raises:
            Unauthenticated: the key is missing or not known.
        """
        left = context.time_remaining()
        # A call without a deadline has one in the far future, or none, by the version of gRPC.
        deadline = time.time() + left if left is not None and left < 1e6 else None
        return Caller.known(self._door.key_of(_headers(context)), name, deadline)


def _headers(context: Any) -> list[tuple[bytes, bytes]]:
    metadata = context.invocation_metadata() or ()
    return [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in metadata]
