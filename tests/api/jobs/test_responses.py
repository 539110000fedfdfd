"""Responses of jobs: preferences, owners, status and results."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request

from sarlens.admission.api_keys import ApiKey
from sarlens.api.common.request_context import RequestContext
from sarlens.api.jobs.responses import (
    owner_filter,
    owner_of,
    prefers_async,
    require_success,
    rfc3339,
    survey_status,
)
from sarlens.errors import CalibrationMissing, JobFailed, ResultNotReady, SarlensError, SourceChanged
from sarlens.jobs.models import Job, JobOwner, JobStatus, TileCounts


def make_request(*prefer: str, key: ApiKey | None = None) -> Request:
    """Return a request with Prefer headers and an API key."""
    headers = [(b"prefer", value.encode()) for value in prefer]
    context = RequestContext.from_key("id", key)
    return Request({"type": "http", "headers": headers, "state": {"context": context}})


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ((), False),
        (("respond-async",), True),
        (("Respond-Async",), True),
        (("wait=10, respond-async",), True),
        (("respond-async; wait=10",), True),
        (("handling=lenient", "respond-async"), True),
        (("respond-async-later",), False),
        (("return=minimal",), False),
    ],
)
def test_the_preference_for_a_job_is_read(prefer: tuple[str, ...], expected: bool) -> None:
    """respond-async counts in any Prefer header, in any case, with other preferences (RFC 7240)."""
    assert prefers_async(make_request(*prefer)) is expected


def test_the_owner_is_the_name_of_the_key() -> None:
    """Without keys, jobs have an empty owner and the caller can read all; with keys, only its own."""
    key = ApiKey(name="gis", sha256="0" * 64, priority=7)
    assert owner_of(RequestContext.from_key("id", None)) == JobOwner("", 0)
    assert owner_filter(make_request()) is None
    assert owner_of(RequestContext.from_key("id", key)) == JobOwner("gis", 7)
    assert owner_filter(make_request(key=key)) == "gis"


def test_times_are_utc_with_milliseconds() -> None:
    """Times have milliseconds and an offset; a missing time is null."""
    assert rfc3339(1_764_590_400.1254) == "2025-12-01T12:00:00.125+00:00"
    assert rfc3339(None) is None


def test_the_status_of_a_survey() -> None:
    """The status has image and questions, tiles by outcome, times, and links to itself and its features."""
    job = Job(
        "survey",
        "gis",
        '{"url": "https://user:secret@host/a b.tif?signature=x", "questions": [{"question": "How many?"}]}',
        id="x1",
        status=JobStatus.RUNNING,
        created=1_764_590_400.0,
        updated=1_764_590_401.0,
        version="s3:v1",
        model="nano",
        tiles=8,
        counts=TileCounts(answered=3, blank=1, failed=2),
    )
    assert survey_status(job) == {
        "object": "survey",
        "id": "x1",
        "status": "running",
        "progress": 75,
        "tiles": 8,
        "answered": 3,
        "blank": 1,
        "failed": 2,
        "model": "nano",
        "image_version": "s3:v1",
        "image": "https://host/a%20b.tif",
        "questions": ["How many?"],
        "created": "2025-12-01T12:00:00.000+00:00",
        "started": None,
        "updated": "2025-12-01T12:00:01.000+00:00",
        "finished": None,
        "url": "/v1/sar/surveys/x1",
        "features": "/v1/sar/surveys/x1/features",
        "stac": "/v1/sar/surveys/x1/stac",
    }


@pytest.mark.parametrize(
    ("fields", "error", "message", "retry_after"),
    [
        ({"status": JobStatus.ACCEPTED}, ResultNotReady, "The job is accepted (0 %). Try again later.", 2),
        (
            {"status": JobStatus.RUNNING, "tiles": 2, "counts": TileCounts(answered=1)},
            ResultNotReady,
            "The job is running (50 %). Try again later.",
            2,
        ),
        ({"status": JobStatus.DISMISSED}, ResultNotReady, "The job was dismissed and has no result.", None),
        (
            {"status": JobStatus.FAILED, "code": "timeout", "message": "Too slow."},
            JobFailed,
            "The job failed (timeout): Too slow.",
            None,
        ),
        (
            {"status": JobStatus.FAILED, "code": "calibration_missing", "message": "No calibration."},
            CalibrationMissing,
            "The job failed: No calibration.",
            None,
        ),
        (
            {"status": JobStatus.FAILED, "code": "source_changed", "message": "Replaced."},
            SourceChanged,
            "The job failed: Replaced.",
            None,
        ),
        (
            {"status": JobStatus.FAILED, "code": "invalid_api_key", "message": "Deleted."},
            JobFailed,
            "The job failed (invalid_api_key): Deleted.",
            None,
        ),
    ],
)
def test_only_a_successful_job_has_a_result(
    fields: dict[str, Any], error: type[SarlensError], message: str, retry_after: int | None
) -> None:
    """An active job has Retry-After, a dismissed or failed one doesn't, and a failed one has its reason."""
    with pytest.raises(error) as raised:
        require_success(Job("survey", "", "{}", **fields))
    assert (raised.value.message, raised.value.retry_after) == (message, retry_after)
    successful = Job("survey", "", "{}", status=JobStatus.SUCCESSFUL)
    assert require_success(successful) is successful
