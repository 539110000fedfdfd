"""Results of jobs on the wire: GeoJSON whole or as it comes, files for GIS, and how far a job is."""

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

from sarlens.errors import JobFailed, ResultNotReady
from sarlens.ingress.caller import Caller, CallerGone, leaving_cancels
from sarlens.survey.commission import Output
from sarlens.survey.delivery import MEDIA_TYPES, Delivery, summary
from sarlens.survey.job import Job, Status
from sarlens.survey.office import Office

SURVEYS = "/v1/sar/surveys"
SEQUENCE = "application/geo+json-seq"
GEOJSON = MEDIA_TYPES["geojson"]
_RECORD = b"\x1e"


def owner_of(caller: Caller) -> str:
    """The name under which a caller's jobs are kept."""
    return caller.key.name if caller.key else ""


def owner_filter(request: Request) -> str | None:
    """The owner whose jobs a caller may see; None where there are no keys and all are everybody's."""
    caller: Caller = request.scope["sarlens.caller"]
    return caller.key.name if caller.key else None


def prefers_async(request: Request) -> bool:
    """Whether the caller would rather have a job (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().replace(";", ",").split(",")
    return "respond-async" in {each.strip() for each in preferences}


def status_of(job: Job) -> dict[str, Any]:
    """A survey as its own routes show it."""
    times = {name: instant(getattr(job, name)) for name in ("created", "started", "updated", "finished")}
    here = f"{SURVEYS}/{job.id}"
    return summary(job) | times | {"object": "survey", "url": here, "features": f"{here}/features"}


def instant(seconds: float | None) -> str | None:
    """A time as RFC 3339 writes it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


async def waited(office: Office, job: Job, receive: Receive) -> Job:
    """A job that a caller waits for, when it is over; who leaves ends it."""
    try:
        with leaving_cancels(receive):
            return await office.over(job.id)
    except CallerGone:
        await office.dismiss(job)
        raise


def check_over(job: Job) -> Job:
    """A job that has a result.

    Raises:
        ResultNotReady: not yet, or it was dismissed.
        JobFailed: it came to none.
    """
    match job.status:
        case Status.SUCCESSFUL:
            return job
        case Status.FAILED:
            raise JobFailed(f"The job has failed ({job.code}): {job.message}")
        case Status.DISMISSED:
            raise ResultNotReady("The job was dismissed and has no result.")
    raise ResultNotReady(f"The job is {job.status}, {job.progress} % done. Ask again later.", retry_after=2)


async def as_file(delivery: Delivery, job: Job, kind: Output) -> Response:
    """The answers until now in a format for GIS."""
    folder = tempfile.TemporaryDirectory(prefix="sarlens-result-")
    try:
        path = await delivery.file(job, kind, Path(folder.name))
    except BaseException:
        folder.cleanup()
        raise
    name = f"{job.process}-{job.id}.{kind}"
    return FileResponse(path, media_type=MEDIA_TYPES[kind], filename=name, background=BackgroundTask(folder.cleanup))


def document(told: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(told), status, headers, "application/json")


class Pieces(Response):
    """A GeoJSON document that is sent as it is read from disk, with something ``around`` it."""

    def __init__(
        self, pieces: AsyncIterator[bytes], *, around: tuple[bytes, bytes] = (b"", b""), media_type: str = GEOJSON
    ) -> None:
        super().__init__(media_type=media_type)
        self._pieces = pieces
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        first = self._around[0] + await anext(self._pieces)
        headers = [(b"content-type", str(self.media_type).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": self._around[1]})


class Sequence(Response):
    """A GeoJSON text sequence (RFC 8142): features as they come.

    A survey that fails ends with a feature without a place that has the ``error``.
    """

    def __init__(self, office: Office, job: Job, *, dismisses: bool = True) -> None:
        super().__init__(media_type=SEQUENCE)
        self._office = office
        self._job = job
        self._dismisses = dismisses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send features until the survey is over."""
        name = self._job.id
        headers = {"content-type": SEQUENCE, "cache-control": "no-cache", "location": f"{SURVEYS}/{name}"}
        headers["sarlens-tiles"] = str(self._job.tiles)
        sent = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": sent})
        try:
            with leaving_cancels(receive):
                async with aclosing(self._office.follow(name)) as pages:
                    async for page in pages:
                        body = b"".join(_RECORD + feature.encode() + b"\n" for feature in page)
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                last = await self._end()
        except CallerGone:
            if self._dismisses:
                await self._office.dismiss(self._job)
            raise
        await send({"type": "http.response.body", "body": last})

    async def _end(self) -> bytes:
        job = await self._office.find(self._job.id, None)
        if job.status is Status.SUCCESSFUL:
            return b""
        properties = {"survey": job.id, "status": job.status, "error": job.code, "error_message": job.message}
        return _RECORD + orjson.dumps({"type": "Feature", "geometry": None, "properties": properties}) + b"\n"
