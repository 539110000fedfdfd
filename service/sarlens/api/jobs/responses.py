"""Responses of jobs: status, GeoJSON, text sequences, and files for GIS."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send
from yarl import URL

from sarlens.api.common.disconnect import CancelOnDisconnect, ClientDisconnected
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import HEADERS_ONLY
from sarlens.errors import JobFailed, ResultNotReady, error_of_caller
from sarlens.jobs.models import Job, JobOwner, JobStatus
from sarlens.surveys.exporter import MEDIA_TYPES, ResultExporter, has_objects, survey_summary
from sarlens.surveys.job_service import JobService
from sarlens.surveys.layer_file import ANSWERS_LAYER, Layer
from sarlens.surveys.spec import Output

SURVEYS_PATH = "/v1/sar/surveys"
GEOJSON = MEDIA_TYPES["geojson"]
GEOJSON_SEQ = "application/geo+json-seq"
_RECORD_SEPARATOR = b"\x1e"


def owner_of(context: RequestContext) -> JobOwner:
    """Return the owner of the caller's jobs."""
    return JobOwner(context.key.name, context.key.priority) if context.key else JobOwner()


def owner_filter(request: Request) -> str | None:
    """Return the owner whose jobs the caller can read, or None for all owners if the gateway has no API keys."""
    context: RequestContext = request.state.context
    return context.key.name if context.key else None


def prefers_async(request: Request) -> bool:
    """Whether the request has the preference ``respond-async`` (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().replace(";", ",").split(",")
    return "respond-async" in {preference.strip() for preference in preferences}


def survey_status(job: Job) -> dict[str, Any]:
    """Return the status of a survey as ``/v1/sar/surveys`` has it, with its image and its questions."""
    spec = orjson.loads(job.request)
    questions = [question["question"] for question in spec.get("questions", ())]
    request = {"image": _plain_url(spec.get("url")), "questions": questions}
    times = {name: rfc3339(getattr(job, name)) for name in ("created", "started", "updated", "finished")}
    url = f"{SURVEYS_PATH}/{job.id}"
    links = {"object": "survey", "url": url, "features": f"{url}/features", "stac": f"{url}/stac"}
    return survey_summary(job) | request | times | links | ({"objects": f"{url}/objects"} if has_objects(job) else {})


def _plain_url(location: Any) -> str | None:
    """Return a URL without query and credentials; None for an image that has no URL of its own."""
    if not isinstance(location, str):
        return None
    url = URL(location)
    return str(url.with_query(None).with_fragment(None).with_user(None) if url.host else url.with_query(None))


def rfc3339(seconds: float | None) -> str | None:
    """Format seconds since 1970 as an RFC 3339 time in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


async def wait_for_job(job_service: JobService, job: Job, scope: Scope) -> Job:
    """Wait until a job is complete; dismiss the job if the client disconnects.

    Raises:
        ClientDisconnected: the client disconnected.
    """
    try:
        with CancelOnDisconnect(scope):
            return await job_service.wait_until_done(job.id)
    except ClientDisconnected:
        await job_service.dismiss(job)
        raise


def require_success(job: Job) -> Job:
    """Return a successful job.

    Raises:
        ResultNotReady: the job is active or dismissed.
        SarlensError: the job failed because of its request, with the error that the job has.
        JobFailed: the job failed for another reason.
    """
    match job.status:
        case JobStatus.SUCCESSFUL:
            return job
        case JobStatus.FAILED:
            if (error := error_of_caller(job.code or "")) is not None:
                raise error(f"The job failed: {job.message}")
            raise JobFailed(f"The job failed ({job.code}): {job.message}")
        case JobStatus.DISMISSED:
            raise ResultNotReady("The job was dismissed and has no result.")
    raise ResultNotReady(f"The job is {job.status} ({job.progress} %). Try again later.", retry_after=2)


async def as_file(
    exporter: ResultExporter, job: Job, file_format: Output, scope: Scope, layer: Layer = ANSWERS_LAYER
) -> Response:
    """Return the answers so far, or the objects, as a download; only its headers if the request is for these."""
    suffix = "" if layer is ANSWERS_LAYER else f"-{layer.name}"
    filename = f"{job.process}-{job.id}{suffix}.{file_format}"
    if HEADERS_ONLY in scope:
        disposition = {"content-disposition": f'attachment; filename="{filename}"'}
        response = Response(media_type=MEDIA_TYPES[file_format], headers=disposition)
        del response.headers["content-length"]
        return response
    folder = tempfile.TemporaryDirectory(prefix="sarlens-result-")
    try:
        path = await exporter.file(job, file_format, Path(folder.name), layer)
    except BaseException:
        folder.cleanup()
        raise
    cleanup = BackgroundTask(folder.cleanup)
    return FileResponse(path, media_type=MEDIA_TYPES[file_format], filename=filename, background=cleanup)


def json_response(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(content), status, headers, "application/json")


async def _send_head(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a response without a body."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class GeoJSONStreamResponse(Response):
    """GeoJSON document, streamed from the database, between a ``prefix`` and a ``suffix``."""

    def __init__(
        self, chunks: AsyncIterator[bytes], *, prefix: bytes = b"", suffix: bytes = b"", media_type: str = GEOJSON
    ) -> None:
        super().__init__(media_type=media_type)
        self._chunks = chunks
        self._prefix = prefix
        self._suffix = suffix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the document, or its headers. An error before the first chunk still has its own status."""
        headers = [(b"content-type", str(self.media_type).encode())]
        if HEADERS_ONLY in scope:
            await _send_head(send, headers)
            return
        first = self._prefix + await anext(self._chunks)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": self._suffix})


class GeoJSONSeqResponse(Response):
    """GeoJSON text sequence (RFC 8142) of the answers of a job, until the job is complete.

    If the job isn't successful, the last feature has no geometry, and the ``error`` in its properties.
    """

    def __init__(self, job_service: JobService, job: Job, *, dismiss_on_disconnect: bool = True) -> None:
        super().__init__(media_type=GEOJSON_SEQ)
        self._job_service = job_service
        self._job = job
        self._dismiss_on_disconnect = dismiss_on_disconnect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send features as tiles are committed, or the headers."""
        job_id = self._job.id
        headers = {"content-type": GEOJSON_SEQ, "cache-control": "no-cache", "location": f"{SURVEYS_PATH}/{job_id}"}
        headers["sarlens-tiles"] = str(self._job.tiles)
        raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        if HEADERS_ONLY in scope:
            await _send_head(send, raw_headers)
            return
        await send({"type": "http.response.start", "status": 200, "headers": raw_headers})
        try:
            with CancelOnDisconnect(scope):
                async with aclosing(self._job_service.stream_answers(job_id)) as pages:
                    async for page in pages:
                        body = b"".join(_RECORD_SEPARATOR + feature.encode() + b"\n" for feature in page)
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                last = await self._error_record()
        except ClientDisconnected:
            if self._dismiss_on_disconnect:
                await self._job_service.dismiss(self._job)
            raise
        await send({"type": "http.response.body", "body": last})

    async def _error_record(self) -> bytes:
        job = await self._job_service.find(self._job.id, None)
        if job.status is JobStatus.SUCCESSFUL:
            return b""
        properties = {"survey": job.id, "status": job.status, "error": job.code, "error_message": job.message}
        feature = {"type": "Feature", "geometry": None, "properties": properties}
        return _RECORD_SEPARATOR + orjson.dumps(feature) + b"\n"
