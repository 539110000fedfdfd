"""Responses of an endpoint: answers, retryable failures, and permanent failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from run_command import run_command

from sarbench.run.endpoint import RATE_LIMIT_PATIENCE_S, ChatEndpoint, RequestFailed, _pause_s
from support.sarlang_fixture import write_released
from support.workers.fake_openai_server import Body, FakeOpenAIServer, error, first

BODY = {"messages": [{"content": [{"type": "text", "text": ""}]}]}


def _cut_short() -> web.Response:
    response = web.Response(body=b'{"choices": [')
    response.content_length = 500
    return response


@pytest.mark.parametrize(
    ("reply", "passing"),
    [
        (lambda: web.Response(text="<html>busy</html>"), True),
        (lambda: web.json_response({"choices": []}), True),
        (lambda: web.json_response([1]), True),
        (lambda: web.json_response({"choices": [{"message": {"content": None}}]}), True),
        (lambda: web.json_response({"choices": [{"message": {"content": 3}, "finish_reason": "stop"}]}), True),
        (_cut_short, True),
        (lambda: error(503, "no worker"), True),
        (lambda: error(429, "slow down"), True),
        (lambda: error(422, "bad field"), False),
        (lambda: web.Response(status=502, text="Bad Gateway"), True),
    ],
)
async def test_failures_are_classified_as_retryable_or_not(reply: Any, passing: bool, oracle: FakeOpenAIServer) -> None:
    """A response without text is a failure, classified as retryable or permanent."""
    oracle.misbehave = lambda _: reply()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RequestFailed) as caught:
            await ChatEndpoint(oracle.url, session).complete(
                {"messages": [{"content": [{"type": "text", "text": ""}]}]}
            )
    assert caught.value.retryable is passing


def _limited(retry_after: str, _: Body) -> web.Response:
    return web.Response(status=429, headers={"Retry-After": retry_after})


async def test_retry_after_is_parsed(oracle: FakeOpenAIServer) -> None:
    """Retry-After in seconds, with decimals, or as a date is used, and other values are ignored."""
    values = {"7": 7.0, "0.25": 0.25, "soon": 0.0, "-1": 0.0, "inf": 0.0, "nan": 0.0, "": 0.0}
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    async with aiohttp.ClientSession() as session:
        for value, pause in [
            *values.items(),
            (soon, pytest.approx(90, abs=10)),
            ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ]:
            oracle.misbehave = partial(_limited, value)
            with pytest.raises(RequestFailed) as caught:
                await ChatEndpoint(oracle.url, session).complete(BODY)
            assert caught.value.retry_after_s == pause


async def test_a_rate_limit_is_waited_out(oracle: FakeOpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 responses with status 429 use up none of two attempts; a limit without an end fails after the patience."""
    monkeypatch.setattr("sarbench.run.endpoint.INITIAL_BACKOFF_S", 0.0)
    oracle.misbehave = first(30, lambda: error(429, "3 requests per minute"))
    async with aiohttp.ClientSession() as session:
        assert (await ChatEndpoint(oracle.url, session).complete_with_retries(BODY, 2)).text == "Yes"
        assert len(oracle.bodies) == 31
        monkeypatch.setattr("sarbench.run.endpoint.RATE_LIMIT_PATIENCE_S", 0.0)
        oracle.misbehave = lambda _: error(429, "3 requests per minute")
        with pytest.raises(RequestFailed, match="3 requests per minute"):
            await ChatEndpoint(oracle.url, session).complete_with_retries(BODY, 2)
    assert len(oracle.bodies) == 33


def test_the_pauses_of_a_rate_limit_outlast_two_minutes() -> None:
    """The pauses without Retry-After add up to more than 120 s before the last attempts are counted."""
    failure = RequestFailed("limit", status=429, retryable=True)
    total = requests = 0.0
    while total < RATE_LIMIT_PATIENCE_S:
        requests += 1
        total += _pause_s(int(requests), failure)
    assert total > 120
    assert requests < 20


async def test_a_proxy_of_the_environment_is_used(
    oracle: FakeOpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With HTTP_PROXY, a run sends its requests to the proxy, which here answers for any host."""
    data = write_released(tmp_path / "data")
    monkeypatch.setenv("HTTP_PROXY", oracle.url.removesuffix("/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    more = ("--base-url", "http://api.openai.example/v1", "--limit", "3")
    result = await run_command(oracle, data, tmp_path / "run", *more)
    assert result.exit_code == 0, result.output
    assert len(oracle.bodies) == 3


async def test_a_base_url_without_v1_gets_a_hint(oracle: FakeOpenAIServer) -> None:
    """Status 404 below a URL without /v1 says what is usual."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RequestFailed, match=r"a base URL usually ends in /v1"):
            await ChatEndpoint(oracle.url.removesuffix("/v1"), session).complete(BODY)


async def test_a_timeout_is_retryable(oracle: FakeOpenAIServer) -> None:
    """A timeout is a retryable failure."""
    oracle.pause_s = 5
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RequestFailed, match=r"no response within 0\.05 s") as caught:
            await ChatEndpoint(oracle.url, session, timeout_s=0.05).complete(
                {"messages": [{"content": [{"type": "text", "text": ""}]}]}
            )
    assert caught.value.retryable
