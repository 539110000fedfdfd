"""Calls over gRPC: context, telemetry and errors."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import structlog.testing
from prometheus_client import generate_latest

from sarlens.admission.api_keys import ApiKeyFile, generate_api_key
from sarlens.admission.rate_limit import InMemoryTokenBuckets, RateLimiter
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.drain import DrainController
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.request_recorder import RequestRecorder
from sarlens.api.grpc.call_context import GrpcCallContext
from sarlens.errors import BadRequest, Overloaded, SarlensError
from sarlens.observability.logging import AccessLog
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import NoOpTracer

ROUTE = "/sarlens.v1.Sar/Vqa"


class Aborted(Exception):
    """The call was aborted."""


@dataclass
class Call:
    """The context of a call, as gRPC's servicers get it."""

    metadata: Sequence[tuple[str, str | bytes]] = ()
    remaining_s: float | None = None
    status: grpc.StatusCode | None = None
    details: str = ""
    trailing: dict[str, str] = field(default_factory=dict)

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The metadata that the client sent."""
        return self.metadata

    def time_remaining(self) -> float | None:
        """Seconds until the deadline."""
        return self.remaining_s

    def peer(self) -> str:
        """The address of the client."""
        return "ipv4:10.0.0.7:40000"

    async def abort(self, status: grpc.StatusCode, details: str, trailing: Sequence[tuple[str, str]]) -> None:
        """End the call with an error."""
        self.status, self.details, self.trailing = status, details, dict(trailing)
        raise Aborted


@dataclass
class Calls:
    """A call context and its parts."""

    authorizer: Authorizer = field(default_factory=lambda: Authorizer(None, RateLimiter(InMemoryTokenBuckets())))
    drain: DrainController = field(default_factory=DrainController)
    metrics: Metrics = field(default_factory=Metrics)

    @asynccontextmanager
    async def handle(self, call: Call) -> AsyncIterator[RequestContext]:
        """Serve a call."""
        recorder = RequestRecorder(self.metrics, AccessLog(None), NoOpTracer())
        async with GrpcCallContext(self.authorizer, self.drain, recorder).handle(call, ROUTE) as context:
            yield context

    def requests(self) -> str:
        """Outcome and status of the only request that was counted."""
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        (line,) = [line for line in lines if line.startswith("sarlens_requests_total{")]
        return line.removeprefix("sarlens_requests_total")


async def test_a_call_has_the_context_of_its_metadata(tmp_path: Path) -> None:
    """Request id and API key come from the metadata, and the deadline from the call, in seconds since 1970."""
    secret, digest = generate_api_key()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "gis", "sha256": digest, "priority": 5}]))
    calls = Calls(Authorizer(ApiKeyFile(keys), RateLimiter(InMemoryTokenBuckets())))
    call = Call([("authorization", f"Bearer {secret}"), ("x-request-id", "call-1")], remaining_s=30.0)
    async with calls.handle(call) as context:
        assert calls.drain.in_flight == 1
        assert (context.request_id, context.policy.cache_salt, context.policy.priority) == ("call-1", "gis", 5)
        assert context.policy.deadline == pytest.approx(time.time() + 30, abs=5)
    assert calls.drain.in_flight == 0
    assert calls.requests() == '{outcome="answered",route="/sarlens.v1.Sar/Vqa",status="OK"} 1.0'
    with pytest.raises(Aborted):
        async with calls.handle(unknown := Call([("authorization", "Bearer sar-unknown")])):
            pass
    assert (unknown.status, unknown.trailing["sarlens-code"]) == (grpc.StatusCode.UNAUTHENTICATED, "invalid_api_key")


@pytest.mark.parametrize("remaining_s", [None, 9.2e9])
async def test_a_call_may_have_no_deadline(remaining_s: float | None) -> None:
    """A call without a deadline, or with gRPC's deadline in the far future, has none."""
    async with Calls().handle(Call(remaining_s=remaining_s)) as context:
        assert context.policy.deadline is None
        assert context.client == "10.0.0.7"


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (BadRequest("No."), grpc.StatusCode.INVALID_ARGUMENT, "refused"),
        (Overloaded("Full.", retry_after=37), grpc.StatusCode.RESOURCE_EXHAUSTED, "failed"),
    ],
)
async def test_an_error_aborts_the_call(error: SarlensError, status: grpc.StatusCode, outcome: str) -> None:
    """Status, message and trailing metadata are those of the error, Retry-After in its own seconds."""
    calls, call = Calls(), Call([("x-request-id", "call-1")])
    with pytest.raises(Aborted):
        async with calls.handle(call):
            raise error
    expected = {"sarlens-code": error.code, "x-request-id": "call-1"}
    expected |= {"retry-after": str(error.retry_after)} if error.retry_after else {}
    assert (call.status, call.details, call.trailing) == (status, error.message, expected)
    assert calls.requests() == f'{{outcome="{outcome}",route="{ROUTE}",status="{status.name}"}} 1.0'


async def test_an_unexpected_exception_is_logged_and_hidden() -> None:
    """A bug aborts the call as INTERNAL without its message; the log has it under the request id."""
    call = Call([("x-request-id", "call-1")])
    with structlog.testing.capture_logs() as lines, pytest.raises(Aborted):
        async with Calls().handle(call):
            raise ValueError("secret detail")
    assert (call.status, call.trailing["sarlens-code"]) == (grpc.StatusCode.INTERNAL, "internal_error")
    assert "secret detail" not in call.details
    logged = next(line for line in lines if line["event"] == "unexpected error")
    assert (logged["request_id"], logged["path"], logged["exc_info"]) == ("call-1", ROUTE, True)


async def test_a_draining_gateway_rejects_calls() -> None:
    """While the gateway drains a call is UNAVAILABLE, with one second until the next try."""
    calls, call = Calls(), Call()
    calls.drain.draining = True
    with pytest.raises(Aborted):
        async with calls.handle(call):
            pass
    assert (call.status, call.trailing["retry-after"]) == (grpc.StatusCode.UNAVAILABLE, "1")


async def test_a_call_that_is_cut_counts_as_gone() -> None:
    """A call whose client cancels it is CANCELLED in the metrics."""
    calls = Calls()
    with pytest.raises(KeyboardInterrupt):
        async with calls.handle(Call()):
            raise KeyboardInterrupt
    assert calls.requests() == f'{{outcome="gone",route="{ROUTE}",status="CANCELLED"}} 1.0'
