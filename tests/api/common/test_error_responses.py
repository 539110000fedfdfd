"""Errors as each HTTP protocol has them."""

from __future__ import annotations

import json

import pytest

from sarlens.api.common.error_responses import openai_error, render_error, send_error
from sarlens.errors import (
    BadRequest,
    JobNotFound,
    MethodNotAllowed,
    Overloaded,
    QuotaExceeded,
    SarlensError,
    Unauthenticated,
)
from support.errors import tree

OPENAI = ["/v1/chat/completions", "/v1/sar/vqa", "/nowhere", "/healthz", "/jobsite"]
OIP = ["/v2/models/m/infer", "/v2"]
OGC = ["/", "/conformance", "/processes", "/processes/vqa/execution", "/jobs", "/jobs/1", "/collections/answers"]


@pytest.mark.parametrize("path", OPENAI)
def test_openai_paths_have_error_objects(path: str) -> None:
    """The error object has message, type, parameter, code and request id."""
    status, headers, body = render_error(BadRequest("No.", param="model"), path, "id-1")
    assert (status, headers) == (400, {"content-type": "application/json"})
    assert json.loads(body) == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "bad_request",
            "request_id": "id-1",
        }
    }


@pytest.mark.parametrize("path", OIP)
def test_inference_paths_have_a_sentence(path: str) -> None:
    """The error of the Open Inference Protocol is a sentence, with code and request id next to it."""
    status, headers, body = render_error(BadRequest("No.", param="model"), path, "id-1")
    assert (status, headers) == (400, {"content-type": "application/json"})
    assert json.loads(body) == {"error": "No.", "code": "bad_request", "request_id": "id-1"}


@pytest.mark.parametrize("path", OGC)
def test_ogc_paths_have_problems(path: str) -> None:
    """The problem of RFC 9457 has the exception's URI of OGC, or about:blank."""
    status, headers, body = render_error(JobNotFound("No."), path, "id-1")
    assert (status, headers) == (404, {"content-type": "application/problem+json"})
    assert json.loads(body) == {
        "type": "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/no-such-job",
        "title": "job_not_found",
        "status": 404,
        "detail": "No.",
        "code": "job_not_found",
        "instance": "urn:request:id-1",
    }
    assert json.loads(render_error(BadRequest("No."), path, "id-1").body)["type"] == "about:blank"


@pytest.mark.parametrize("path", [OPENAI[0], OIP[0], OGC[0]])
def test_headers_of_an_error(path: str) -> None:
    """401 names the scheme of authentication, and 405 the methods of the path."""
    assert render_error(Unauthenticated("No."), path, "id-1").headers["www-authenticate"] == "Bearer"
    assert render_error(MethodNotAllowed("No.", allow=("GET", "HEAD")), path, "id-1").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", [OPENAI[0], OIP[0], OGC[0]])
@pytest.mark.parametrize("seconds", [0, 1, 37])
def test_retry_after_is_the_errors_own(path: str, seconds: int) -> None:
    """Each protocol has Retry-After in the seconds that the error states, and none if the error states none."""
    for error in (Overloaded("Full.", retry_after=seconds), QuotaExceeded("Used.", retry_after=seconds)):
        assert render_error(error, path, "id-1").headers["retry-after"] == str(seconds)
    assert "retry-after" not in render_error(Overloaded("Full."), path, "id-1").headers


def test_every_error_has_its_status() -> None:
    """Status and code of each error class are those of the table, on every path."""
    for error_cls in tree():
        for path in (OPENAI[0], OIP[0], OGC[0]):
            status, _, body = render_error(error_cls("No."), path, "id-1")
            assert status == error_cls.status
            assert error_cls.code in body.decode()


async def test_an_error_is_sent_whole() -> None:
    """The bare ASGI response has the same status, headers and body, and its length."""
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    error = Overloaded("Full.", retry_after=37)
    await send_error(send, error, "/v1/models", "id-1")
    expected = render_error(error, "/v1/models", "id-1")
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}  # type: ignore[attr-defined]
    assert start["status"] == 503
    assert headers == {**expected.headers, "content-length": str(len(expected.body))}
    assert body == {"type": "http.response.body", "body": expected.body}


def test_an_unexpected_error_is_a_server_error() -> None:
    """The root of the error tree is what clients see of a bug: 500, without details."""
    error = openai_error(SarlensError("An internal error occurred."), "id-1")["error"]
    assert (error["type"], error["code"], error["param"]) == ("server_error", "internal_error", None)
