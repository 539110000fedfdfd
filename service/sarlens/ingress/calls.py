"""What every gRPC call has: a caller, an entry in the journal, and an error from the one table."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import structlog

from sarlens.errors import SarlensError
from sarlens.ingress.caller import Caller, request_id
from sarlens.ingress.door import Door
from sarlens.ingress.duty import Duty
from sarlens.ingress.journal import Journal
from sarlens.ingress.replies import UNEXPECTED
from sarlens.metrics import GONE

log = structlog.get_logger(__name__)


class Calls:
    """Lets calls in and counts them."""

    def __init__(self, door: Door, duty: Duty, journal: Journal) -> None:
        self._door = door
        self._duty = duty
        self._journal = journal

    @asynccontextmanager
    async def call(self, context: Any, route: str) -> AsyncIterator[Caller]:
        """One call under way; an error inside ends it with the code of the table."""
        headers = _headers(context)
        name = request_id(headers)
        try:
            with self.counted(context, route, name):
                yield self.caller(context, name)
        except SarlensError as error:
            trailing = [("sarlens-code", error.code), ("x-request-id", name)]
            if error.retry_after is not None:
                trailing.append(("retry-after", str(error.retry_after)))
            await context.abort(grpc.StatusCode[error.rpc], error.message, tuple(trailing))

    @contextmanager
    def counted(self, context: Any, route: str, name: str) -> Iterator[None]:
        """Count what is inside as one request of a call.

        Raises:
            SarlensError: as inside; what is none of ours is logged and becomes one.
        """
        with self._journal.request(name, _headers(context)) as entry:
            entry.route, entry.status, entry.meant = route, "CANCELLED", GONE
            try:
                with self._duty.request():
                    yield
                entry.status, entry.meant = "OK", 200
            except SarlensError as error:
                entry.status = error.rpc
                entry.refused(error)
                raise
            except Exception:
                log.exception("request failed", request_id=name, path=route)
                entry.status = SarlensError.rpc
                entry.refused(unexpected := SarlensError(UNEXPECTED))
                raise unexpected from None
            finally:
                rpc = {"rpc.method": route.removeprefix("/"), "rpc.response.status_code": entry.status}
                entry.attributes = {"rpc.system.name": "grpc", **rpc}

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
