"""Records of requests."""

from __future__ import annotations

import gc
import weakref

from sarlens.api.common.request_context import RequestHeaders
from sarlens.api.common.request_recorder import RequestRecorder
from sarlens.errors import BadRequest, SarlensError
from sarlens.observability.logging import AccessLog
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import NoOpTracer


class Body:
    """The body of a request."""


def rejected_body(recorder: RequestRecorder) -> weakref.ref[Body]:
    """Reject a request, and return a weak reference to its body."""
    body = Body()
    try:
        with recorder.record(RequestHeaders.parse([])) as record:
            try:
                raise BadRequest("No.")
            except SarlensError as error:
                record.set_error(error)
                raise
    except SarlensError:
        return weakref.ref(body)


def test_the_body_of_a_rejected_request_is_freed_without_a_garbage_collection() -> None:
    """The record of a rejected request is in no cycle with the error, whose frames hold the body."""
    recorder = RequestRecorder(Metrics(), AccessLog(None), NoOpTracer())
    gc.disable()
    try:
        assert rejected_body(recorder)() is None
    finally:
        gc.enable()
