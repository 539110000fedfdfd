"""Responses of workers: what counts as an answer, errors inside streams, and rejections of any shape."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from sarlens.settings import RoutingSettings
from support.fleet import ask, fleet, metric
from support.workers.fake_worker import MODEL, RawReply

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}
STREAM = {**CHAT, "stream": True}
IN_TURN = RoutingSettings(policy="round_robin", max_retry_budget=10_000)
JSON = {"Content-Type": "application/json"}
SSE = {"Content-Type": "text/event-stream"}
ERROR = b'{"error": {"message": "engine died", "type": "InternalServerError", "param": null, "code": 500}}'
ROLE = b'data: {"model":"sarlens-nano","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + ERROR + b"\n\n"],
        [b"data:" + ERROR + b"\r\n\r\n"],
        [b"event: error\ndata: " + ERROR + b"\n\n"],
        [b": ping\n\n", b"\n\ndata: " + ERROR[:9], ERROR[9:] + b"\n", b"\n"],
        [b"data: " + ERROR],
        [b"data: " + ERROR.replace(b", ", b",\ndata: ") + b"\n\ndata: [DONE]\n\n"],
        [b'event: error\ndata: {"message": "engine died", "code": 500}\n\n'],
        [b'data: {"object": "error", "message": "engine died", "code": 500}\n\n'],
    ],
)
async def test_a_stream_that_begins_with_an_error_has_its_status(chunks: list[bytes]) -> None:
    """An error as the first event, in any framing, is retried on the other worker; if that fails too, it's a 500."""
    async with fleet(2, IN_TURN) as (url, [bad, good], http):
        bad.replies = RawReply(chunks, 200, SSE)
        for _ in range(2):
            status, body = await ask(http, url, STREAM)
            assert (status, b"There" in body, b"engine" in body) == (200, True, False)
        assert (len(bad.bodies), len(good.bodies)) == (1, 2)
        assert await metric(http, url, f'sarlens_worker_failures_total{{worker="{bad.url}"}}') == 1
        good.replies = bad.replies
        async with http.post(f"{url}/v1/chat/completions", json=STREAM) as response:
            error = (await response.json())["error"]
            assert (response.status, error["message"]) == (500, "engine died")
            assert error["request_id"] == response.headers["X-Request-Id"]
        assert await metric(http, url, 'sarlens_requests_total{outcome="failed",route="/v1') == 1


async def test_an_error_that_names_the_request_is_not_retried() -> None:
    """A first event with code 400 is a 400 to the caller, and no other worker gets the request."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.replies = RawReply([b'data: {"error": {"message": "too long", "code": 400}}\n\n'], 200, SSE)
            worker.knows_stream_options = True
        status, body = await ask(http, url, {**STREAM, "stream_options": {"include_usage": True}})
        assert (status, json.loads(body)["error"]["message"]) == (400, "too long")
        assert sum(len(worker.bodies) for worker in workers) == 1
        assert await metric(http, url, "sarlens_worker_failures_total") == 0


@pytest.mark.parametrize(
    "error",
    [
        b"data: " + ERROR + b"\n\n",
        b"data:" + ERROR + b"\n\n",
        b"event: error\ndata: " + ERROR + b"\n\n",
        b"data: " + ERROR[:20] + b"\0" + ERROR[20:] + b"\n\n",
    ],
)
async def test_a_later_error_fails_the_request(error: bytes) -> None:
    """After the first event, an error ends the stream with the worker's words and the request id, and counts."""
    first, _, second = error.partition(b"\0")
    chunks = [ROLE, first, second, b"data: [DONE]\n\n"] if second else [ROLE, error, b"data: [DONE]\n\n"]
    async with fleet(1) as (url, [worker], http):
        worker.replies = RawReply(chunks, 200, SSE)
        for number in range(1, 4):
            async with http.post(f"{url}/v1/chat/completions", json=STREAM) as response:
                body = await response.read()
                assert response.status == 200
            event = json.loads(body.removeprefix(ROLE).removeprefix(b"data: "))["error"]
            assert event == {**json.loads(ERROR)["error"], "request_id": response.headers["X-Request-Id"]}
            assert await metric(http, url, 'sarlens_requests_total{outcome="failed",route="/v1') == number
            assert await metric(http, url, 'sarlens_requests_total{outcome="answered",route="/v1') == 0
            assert await metric(http, url, 'sarlens_errors_total{code="worker_failed"}') == number
            assert await metric(http, url, "sarlens_worker_failures_total") == number
        assert await metric(http, url, "sarlens_worker_breaker_open") == 1


async def test_an_error_beside_tokens_comes_after_them() -> None:
    """If one read has tokens, an error and more, the caller gets the tokens, then the error, and nothing else."""
    async with fleet(1) as (url, [worker], http):
        token = ROLE.replace(b'"role":"assistant","content":""', b'"content":"3"')
        worker.replies = RawReply([ROLE + token + b"data: " + ERROR + b"\n\n" + token], 200, SSE)
        _, body = await ask(http, url, STREAM)
        assert body.startswith(ROLE + token + b'data: {"error":{"message":"engine died"')
        assert body.count(b"\n\n") == 3


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"Content-Type": "text/html"}, b"<script>alert(1)</script>"),
        (200, {"Content-Type": "text/html"}, b'{"choices": []}'),
        (200, {"Content-Type": "text/plain"}, b'{"choices": []}'),
        (200, JSON, b"[1,2,3]"),
        (200, JSON, b"null"),
        (200, JSON, b""),
        (200, JSON, b"\x00\xff"),
        (200, JSON, gzip.compress(b'{"choices": []}', mtime=0)),
        (200, {**JSON, "Content-Encoding": "gzip"}, gzip.compress(b'{"choices": []}', mtime=0)),
        (200, SSE, b"data: <html>\n\n"),
        (200, SSE, b"data: [1]\n\n"),
        (200, SSE, b": only a comment\n\n"),
        (200, JSON, b'{"choices": ["' + b"x" * 3000 + b'"]}'),
        (204, JSON, b""),
        (307, {**JSON, "Location": "/v1/models"}, b"{}"),
        (500, {"Content-Type": "text/html"}, b"<html>boom</html>"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_only_json_and_events_are_answers(
    status: int, headers: dict[str, str], body: bytes, stream: bool
) -> None:
    """Anything but a JSON object or events of JSON is 502 for the caller, and a failure for the circuit breaker."""
    async with fleet(1, max_response_bytes=2000) as (url, [worker], http):
        worker.replies = RawReply([body] if body else [], status, headers)
        async with http.post(f"{url}/v1/chat/completions", json={**CHAT, "stream": stream}) as response:
            assert (response.status, response.headers["Content-Type"]) == (502, "application/json")
            error = (await response.json())["error"]
        assert error["code"] == "worker_failed"
        assert "html" not in error["message"]
        assert await metric(http, url, "sarlens_worker_failures_total") == 1


async def test_a_browser_does_not_guess_the_type() -> None:
    """Answers, streams and rejections have ``nosniff`` and the gateway's own content type."""
    async with fleet(1) as (url, _, http):
        for body, content_type in (
            (CHAT, "application/json"),
            (STREAM, "text/event-stream; charset=utf-8"),
            ({**CHAT, "temperature": -1}, "application/json"),
        ):
            async with http.post(f"{url}/v1/chat/completions", json=body) as response:
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Content-Type"] == content_type


HTML = b"<html><head><title>413 Request Entity Too Large</title></head><body><h1>413</h1><hr>nginx</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "message", "param"),
    [
        (422, b'{"detail": "seed is too large"}', "seed is too large", None),
        (
            422,
            b'{"detail": [{"loc": ["body", "messages", 0], "msg": "missing"}, {"loc": ["body", "n"], "msg": "big"}]}',
            "messages.0: missing; n: big",
            "messages.0",
        ),
        (413, HTML, "413 Request Entity Too Large", None),
        (400, b"<p>No &amp; <b>never</b><script>x</script>", "No & never", None),
        (400, b'{"error": "Unauthorized"}', "Unauthorized", None),
        (
            400,
            b'{"object": "error", "message": "too long", "param": "max_tokens", "code": 40}',
            "too long",
            "max_tokens",
        ),
        (400, b'{"error": {"message": "no", "param": "seed", "own": 1}}', "no", "seed"),
        (409, b"in use\r\n", "in use", None),
        (418, b"", "The worker rejected the request with status 418 (I'm a Teapot).", None),
        (404, b'{"message": "no such route"}', "no such route", None),
        (400, b"[1]", "The worker rejected the request with status 400 (Bad Request).", None),
        (400, b"x" * 100_000, "x" * 2000, None),
    ],
)
async def test_a_rejection_keeps_its_status_and_words(
    status: int, body: bytes, message: str, param: str | None
) -> None:
    """A rejection of any shape is an OpenAI error object with the worker's status, words and parameter."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.replies = RawReply([body] if body else [], status, {"Content-Type": "text/html"})
        async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
            assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
            error = (await response.json())["error"]
            assert error["request_id"] == response.headers["X-Request-Id"]
        assert (error["message"], error.get("param")) == (message, param)
        assert sum(len(worker.bodies) for worker in workers) == 1
        assert await metric(http, url, 'sarlens_errors_total{code="worker_answered_error"}') == 1
        assert await metric(http, url, "sarlens_worker_failures_total") == 0


@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejected_worker_key_is_the_gateways_fault(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker that rejects the gateway's key is 502 for the caller and named in the log; another worker answers."""
    async with fleet(2, IN_TURN) as (url, workers, http):
        workers[0].replies = RawReply([b'{"error": "Unauthorized: sk-123"}'], status, JSON)
        assert (await ask(http, url, {**CHAT, "store": True}))[0] == 200
        workers[1].replies = workers[0].replies
        code, body = await ask(http, url, CHAT)
    assert (code, json.loads(body)["error"]["code"]) == (502, "worker_failed")
    assert b"sk-123" not in body
    logged = capsys.readouterr()
    assert "the worker rejected SARLENS_WORKER__API_KEY" in logged.out + logged.err
    assert "sk-123" not in logged.out + logged.err


async def test_an_event_without_an_end_is_bounded() -> None:
    """A stream whose event never ends is cut off with an error event after 4 MiB."""
    async with fleet(1) as (url, [worker], http):
        worker.replies = RawReply([ROLE, b"data: ", *[b"x" * 2**19] * 9], 200, SSE)
        _, body = await ask(http, url, STREAM)
        assert body.startswith(ROLE + b'data: {"error":{"message":"An event of the worker')
        assert len(body) < 1000


async def test_comments_before_the_first_event_are_bounded() -> None:
    """A worker that sends 8 MiB of comments and no event is cut off after 4 MiB, and the request is a 502."""
    async with fleet(1) as (url, [worker], http):
        worker.replies = RawReply([b": " + b"x" * 2**18 + b"\n\n"] * 32, 200, SSE)
        status, body = await ask(http, url, STREAM)
        assert (status, b"more than 4194304 bytes before its first event" in body) == (502, True)
