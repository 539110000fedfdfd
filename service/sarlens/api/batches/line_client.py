"""Client of batches: runs their lines through the routes of the gateway, in this process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from starlette.types import ASGIApp, Message

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.disconnect import CONNECTION_EXTENSION
from sarlens.api.common.error_responses import INTERNAL_ERROR_MESSAGE, render_error
from sarlens.api.common.request_context import RequestContext, RequestHeaders
from sarlens.api.common.schemas import SurveyBody, validate_body
from sarlens.api.jobs.responses import SURVEYS_PATH, require_success, survey_status
from sarlens.api.jobs.submission import SurveySubmission
from sarlens.batches.line import BatchLine, LineResponse
from sarlens.errors import BadRequest, JobNotFound, SarlensError
from sarlens.jobs.models import Job
from sarlens.observability import tracing
from sarlens.observability.tracing import Tracer, start_trace
from sarlens.surveys.job_service import JobService

log = structlog.get_logger(__name__)


class RouteClient:
    """Sends each line to the route of its path, as the API key of the batch, with one step less priority.

    Authorization, quotas, limits and errors are those of the routes. A line of surveys waits for its survey, whose id
    follows from that of the line, so that a later run finds the survey that an earlier one began.
    """

    def __init__(
        self,
        routes: ASGIApp,
        authorizer: Authorizer,
        submission: SurveySubmission,
        job_service: JobService,
        tracer: Tracer,
    ) -> None:
        self._routes = routes
        self._authorizer = authorizer
        self._submission = submission
        self._job_service = job_service
        self._tracer = tracer

    async def run(self, owner: str, request_id: str, line: BatchLine) -> LineResponse:
        """Return the response to a line; errors are responses too.

        Raises:
            Unauthenticated: the API key was removed or disabled.
        """
        context = self._context(owner, request_id)
        with start_trace(self._tracer, "batch line") as span:
            span.set_attribute("sarlens.request_id", request_id)
            try:
                if line.body.get("stream"):
                    raise BadRequest("A line of a batch can't be a stream: leave out stream.", param="stream")
                if line.url == SURVEYS_PATH:
                    return await self._survey(context, line)
                return await _Call(context, line.url, await line.body_bytes()).run(self._routes)
            except SarlensError as error:
                tracing.record_error(span, error)
                response = render_error(error, line.url, request_id)
                return LineResponse(response.status, response.body, error)

    async def abandon(self, owner: str, request_id: str, line: BatchLine) -> None:
        """Cancel the survey of a line, if it has begun one."""
        if line.url != SURVEYS_PATH:
            return
        try:
            job = await self._job_service.find(_survey_id(request_id), owner)
        except JobNotFound:
            return
        if not job.status.is_terminal:
            await self._job_service.dismiss(job)

    def _context(self, owner: str, request_id: str) -> RequestContext:
        context = RequestContext.from_key(request_id, self._authorizer.key_by_name(owner))
        return context._replace(policy=context.policy._replace(priority=context.policy.priority + 1))

    async def _survey(self, context: RequestContext, line: BatchLine) -> LineResponse:
        job_id = _survey_id(context.request_id)
        job = await self._job_service.wait_until_done((await self._find_or_submit(job_id, context, line)).id)
        return LineResponse(200, orjson.dumps(survey_status(require_success(job))))

    async def _find_or_submit(self, job_id: str, context: RequestContext, line: BatchLine) -> Job:
        try:
            return await self._job_service.find(job_id, None)
        except JobNotFound:
            spec = validate_body(SurveyBody, line.body).to_spec
            return await self._submission.submit(spec, "survey", context, job_id)


def _survey_id(request_id: str) -> str:
    """Return the id of the survey of a line, which others can't guess."""
    return hashlib.blake2b(request_id.encode(), digest_size=16).hexdigest()


class _Call:
    """One request to the routes, and its response. It is the connection, and the record, of the request."""

    def __init__(self, context: RequestContext, path: str, body: bytes) -> None:
        self.task = asyncio.current_task()
        self._path = path
        self._context = context
        self._body = body
        self._status = 0
        self._response = bytearray()
        self._error: SarlensError | None = None

    async def run(self, routes: ASGIApp) -> LineResponse:
        """Send the request, and return the response."""
        context = self._context
        headers = RequestHeaders(context.request_id, tracing.ROOT)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"host", b"localhost")],
            "client": None,
            "server": None,
            "state": {"headers": headers, "record": self, "context": context},
            "extensions": {CONNECTION_EXTENSION: self},
        }
        try:
            await routes(scope, self._receive, self._send)
        except SarlensError:
            raise
        except Exception:
            log.exception("unexpected error", path=self._path, request_id=context.request_id)
            raise SarlensError(INTERNAL_ERROR_MESSAGE) from None
        return LineResponse(self._status, bytes(self._response), self._error)

    def set_error(self, error: SarlensError) -> None:
        """Keep the error of the response."""
        self._error = error

    def watch_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Do nothing: a batch doesn't disconnect."""

    def write(self, body: bytes) -> bool:
        """Take a part of the response."""
        self._response += body
        return True

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._response += message.get("body", b"")
