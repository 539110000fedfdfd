"""Each middleware alone, and their order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from prometheus_client import generate_latest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sarlens.admission.api_keys import ApiKeyFile, generate_api_key
from sarlens.admission.rate_limit import InMemoryTokenBuckets, RateLimiter
from sarlens.api.app.build import _middlewares
from sarlens.api.app.middlewares import (
    PROTECTED_PREFIXES,
    AccessMiddleware,
    ProtectedPaths,
    RequestIdMiddleware,
    TelemetryMiddleware,
)
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.disconnect import ClientDisconnected
from sarlens.api.common.drain import DrainController
from sarlens.api.common.request_recorder import RequestRecorder
from sarlens.errors import NotFound, WorkerFailed
from sarlens.observability.logging import AccessLog
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import NoOpTracer

PROTECTED = "/v1/models"
UNPROTECTED = "/healthz"


@dataclass
class Route:
    """An ASGI application that answers, fails, or does both."""

    status: int = 200
    error: BaseException | None = None
    answers: bool = True
    scope: Scope = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the scope and behave."""
        self.scope = scope
        if self.answers:
            await send({"type": "http.response.start", "status": self.status, "headers": [(b"a", b"b")]})
        if self.error is not None:
            raise self.error
        await send({"type": "http.response.body", "body": b"{}"})


@dataclass
class Response:
    """The ASGI messages that were sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Stack:
    """All middlewares around a route, and their parts."""

    route: Route
    authorizer: Authorizer = field(default_factory=lambda: Authorizer(None, RateLimiter(InMemoryTokenBuckets())))
    drain: DrainController = field(default_factory=DrainController)
    metrics: Metrics = field(default_factory=Metrics)
    sample_ratio: float | None = 1.0

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """The response to a request."""
        app: ASGIApp = self.route
        recorder = RequestRecorder(self.metrics, AccessLog(self.sample_ratio), NoOpTracer())
        for cls, args, kwargs in reversed(_middlewares(recorder, self.authorizer, self.drain, (), ProtectedPaths())):
            app = cls(app, *args, **kwargs)
        raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        response = Response()

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.status = message["status"]
                response.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                response.body += message["body"]

        await app({"type": "http", "method": "GET", "path": path, "headers": raw}, receive, send)
        return response

    def count(self, name: str) -> dict[str, float]:
        """The samples of a metric that aren't zero, by their labels."""
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        samples = (line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith(f"{name}{{"))
        return {labels: float(value) for labels, value in samples if float(value)}


def test_their_order() -> None:
    """The list has every middleware, the outermost first."""
    recorder = RequestRecorder(Metrics(), AccessLog(None), NoOpTracer())
    middlewares: list[Middleware] = _middlewares(
        recorder, Stack(Route()).authorizer, DrainController(), (), ProtectedPaths()
    )
    classes: list[object] = [middleware.cls for middleware in middlewares]
    assert classes == [
        RequestIdMiddleware,
        TelemetryMiddleware,
        AccessMiddleware,
    ]


@pytest.mark.parametrize("route", [Route(), Route(error=NotFound("No."), answers=False)])
async def test_the_request_id_comes_back(route: Route) -> None:
    """A response and an error repeat the request's id after the route's own headers."""
    response = await Stack(route).get(PROTECTED, {"X-Request-Id": "id-1"})
    assert response.headers["x-request-id"] == "id-1"
    assert ("a" in response.headers) is route.answers


async def test_a_request_is_counted_by_route_and_status() -> None:
    """Route, status and outcome are labels; a path without a route counts as other, the completion paths by name."""
    stack = Stack(Route(status=201))
    await stack.get("/v1/anything")
    await stack.get("/v1/chat/completions")
    assert stack.count("sarlens_requests_total") == {
        '{outcome="answered",route="other",status="201"}': 1.0,
        '{outcome="answered",route="/v1/chat/completions",status="201"}': 1.0,
    }


async def test_the_access_log_has_the_request() -> None:
    """A line has the request's id, route, status and duration in seconds."""

    class Slow(Route):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.05)
            await super().__call__(scope, receive, send)

    stack = Stack(Slow())
    with structlog.testing.capture_logs() as lines:
        await stack.get(PROTECTED, {"X-Request-Id": "id-1"})
    (line,) = lines
    duration_s = line.pop("duration_s")
    assert line == {"event": "request", "log_level": "info", "request_id": "id-1", "route": "other", "status": 200}
    assert 0.05 <= duration_s < 2
    (sum_s,) = stack.count("sarlens_request_duration_seconds_sum").values()
    assert sum_s == pytest.approx(duration_s, abs=1e-3)


@pytest.mark.parametrize(("status", "logged"), [(200, 0), (399, 0), (400, 1), (503, 1)])
async def test_every_failed_request_is_logged(status: int, logged: int) -> None:
    """With a ratio of 0 the access log has a line for each status from 400 on, and for no other."""
    with structlog.testing.capture_logs() as lines:
        await Stack(Route(status), sample_ratio=0.0).get(PROTECTED)
    assert [line["status"] for line in lines] == [status] * logged


async def test_a_client_that_leaves_counts_as_gone() -> None:
    """The status of a client that disconnected is 499, and it isn't an error of the gateway."""
    stack = Stack(Route(error=ClientDisconnected()))
    await stack.get(PROTECTED)
    assert stack.count("sarlens_requests_total") == {'{outcome="gone",route="other",status="499"}': 1.0}
    assert stack.count("sarlens_errors_total") == {}


async def test_an_error_is_answered_and_counted() -> None:
    """An error of the table has its status and body, and is counted by its code."""
    stack = Stack(Route(error=NotFound("No such thing."), answers=False))
    with structlog.testing.capture_logs() as lines:
        response = await stack.get(PROTECTED, {"X-Request-Id": "id-1"})
    assert (response.status, json.loads(response.body)["error"]["message"]) == (404, "No such thing.")
    assert [(line["event"], line["code"]) for line in lines] == [("request", "not_found")]
    assert stack.count("sarlens_errors_total") == {'{code="not_found"}': 1.0}
    assert stack.count("sarlens_requests_total") == {'{outcome="refused",route="other",status="404"}': 1.0}


async def test_an_error_after_the_status_is_a_failure() -> None:
    """An error in the middle of a response adds nothing to it, and counts as failed under the status sent."""
    stack = Stack(Route(error=WorkerFailed("It broke off.")))
    response = await stack.get(PROTECTED)
    assert (response.status, response.body) == (200, b"")
    assert stack.count("sarlens_requests_total") == {'{outcome="failed",route="other",status="200"}': 1.0}
    assert stack.count("sarlens_errors_total") == {'{code="worker_failed"}': 1.0}


async def test_an_unexpected_exception_is_logged_and_hidden() -> None:
    """A bug is a 500 without its message; the log has the traceback under the request id."""
    stack = Stack(Route(error=ValueError("secret detail"), answers=False))
    with structlog.testing.capture_logs() as lines:
        response = await stack.get(PROTECTED, {"X-Request-Id": "id-1"})
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"], error["request_id"]) == (500, "internal_error", "id-1")
    assert b"secret detail" not in response.body
    logged = next(line for line in lines if line["event"] == "unexpected error")
    assert (logged["request_id"], logged["path"], logged["exc_info"]) == ("id-1", PROTECTED, True)


@pytest.mark.parametrize(("path", "logged"), [(PROTECTED, 1), (UNPROTECTED, 0)])
async def test_failures_of_work_are_logged(path: str, logged: int) -> None:
    """An error of the gateway's own is logged with its code, except for health checks, which repeat it."""
    with structlog.testing.capture_logs() as lines:
        await Stack(Route(error=WorkerFailed("It broke off."), answers=False)).get(path)
    failures = [line for line in lines if line["event"] == "request failed"]
    assert [(line["code"], line["reason"]) for line in failures] == [("worker_failed", "It broke off.")] * logged


async def test_a_rejected_request_is_one_line() -> None:
    """Without an access log, a rejected request has a line with status, route, code and the kind of its error."""
    with structlog.testing.capture_logs() as lines:
        stack = Stack(Route(error=NotFound("There is no /x."), answers=False), sample_ratio=None)
        await stack.get(PROTECTED, {"X-Request-Id": "id-1"})
    assert lines == [
        {
            "event": "request rejected",
            "log_level": "info",
            "reason": "The resource doesn't exist.",
            "status": 404,
            "code": "not_found",
            "route": "other",
            "request_id": "id-1",
        }
    ]


async def test_a_cancelled_request_is_not_counted() -> None:
    """A request that the server cancels has no outcome, and the number in flight returns to 0."""
    stack = Stack(Route(error=asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await stack.get(PROTECTED)
    assert stack.count("sarlens_requests_total") == {}
    assert stack.drain.in_flight == 0


async def test_a_draining_gateway_rejects_work() -> None:
    """Protected paths are 503 with Retry-After 1 while the gateway drains; health checks are answered."""
    stack = Stack(Route())
    stack.drain.draining = True
    response = await stack.get(PROTECTED)
    assert (response.status, json.loads(response.body)["error"]["code"]) == (503, "draining")
    assert response.headers["retry-after"] == "1"
    assert (await stack.get(UNPROTECTED)).status == 200


async def test_requests_in_flight_are_counted() -> None:
    """A request counts as in flight until its route is done, and drain waits for it."""
    started, release = asyncio.Event(), asyncio.Event()

    class Waiting(Route):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            await release.wait()
            await super().__call__(scope, receive, send)

    stack = Stack(Waiting())
    request = asyncio.create_task(stack.get(PROTECTED))
    await started.wait()
    assert stack.drain.in_flight == 1
    assert await stack.drain.drain(0.01) == 1
    release.set()
    assert (await request).status == 200
    async with asyncio.timeout(5):
        assert await stack.drain.drain(60) == 0


def with_key(folder: Path) -> tuple[Authorizer, str]:
    """An authorizer that knows one API key, and the key."""
    secret, digest = generate_api_key()
    path = folder / "keys.json"
    path.write_text(json.dumps([{"name": "gis", "sha256": digest, "priority": 5}]))
    return Authorizer(ApiKeyFile(path), RateLimiter(InMemoryTokenBuckets())), secret


async def test_protected_paths_require_a_key(tmp_path: Path) -> None:
    """Without a known key a protected path is 401; with one the route gets the key's context."""
    authorizer, secret = with_key(tmp_path)
    stack = Stack(Route(), authorizer)
    for prefix in PROTECTED_PREFIXES:
        for headers in ({}, {"Authorization": "Bearer sar-unknown"}, {"Authorization": f"Basic {secret}"}):
            assert (await stack.get(f"{prefix}/x", headers)).status == 401
    assert not stack.route.scope
    assert (await stack.get(PROTECTED, {"Authorization": f"Bearer {secret}", "X-Request-Id": "id-1"})).status == 200
    context = stack.route.scope["state"]["context"]
    assert (context.request_id, context.key.name, context.policy.priority) == ("id-1", "gis", 5)


async def test_an_unprotected_path_has_no_context(tmp_path: Path) -> None:
    """A route that requires no key gets no context, so that it can't take a missing key for an open gateway."""
    stack = Stack(Route(), with_key(tmp_path)[0])
    assert (await stack.get(UNPROTECTED, {"X-Request-Deadline": "soon"})).status == 200
    assert "context" not in stack.route.scope["state"]


async def test_a_deadline_reaches_the_route(tmp_path: Path) -> None:
    """The context has the deadline of the header next to the terms of the key."""
    authorizer, secret = with_key(tmp_path)
    stack = Stack(Route(), authorizer)
    deadline = round(time.time() + 60, 3)
    headers = {"Authorization": f"Bearer {secret}", "X-Request-Deadline": f"{deadline}"}
    assert (await stack.get(PROTECTED, headers)).status == 200
    policy = stack.route.scope["state"]["context"].policy
    assert (policy.deadline, policy.priority) == (deadline, 5)


@pytest.mark.parametrize(("deadline", "status"), [("soon", 400), ("1700000000", 408)])
async def test_a_wrong_deadline_is_rejected(deadline: str, status: int) -> None:
    """A malformed deadline is 400, one in the past 408, before the route is called."""
    stack = Stack(Route())
    assert (await stack.get(PROTECTED, {"X-Request-Deadline": deadline})).status == status
    assert not stack.route.scope


async def test_the_key_is_checked_before_the_deadline(tmp_path: Path) -> None:
    """A client without a key learns nothing about its other headers."""
    stack = Stack(Route(), with_key(tmp_path)[0])
    response: Any = await stack.get(PROTECTED, {"X-Request-Deadline": "soon"})
    assert response.status == 401
