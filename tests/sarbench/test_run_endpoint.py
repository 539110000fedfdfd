"""Responses of an endpoint: answers, retryable failures, and permanent failures."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sarbench.run.endpoint import ChatEndpoint, RequestFailed
from support.workers.fake_openai_server import FakeOpenAIServer, error


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


async def test_retry_after_is_parsed(oracle: FakeOpenAIServer) -> None:
    """Retry-After in seconds is used, and other values are ignored."""
    values = iter(("7", "soon", "-1"))
    oracle.misbehave = lambda _: web.Response(status=429, headers={"Retry-After": next(values)})
    async with aiohttp.ClientSession() as session:
        for pause in (7.0, 0.0, 0.0):
            with pytest.raises(RequestFailed) as caught:
                await ChatEndpoint(oracle.url, session).complete(
                    {"messages": [{"content": [{"type": "text", "text": ""}]}]}
                )
            assert caught.value.retry_after_s == pause


async def test_a_timeout_is_retryable(oracle: FakeOpenAIServer) -> None:
    """A timeout is a retryable failure."""
    oracle.pause_s = 5
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RequestFailed, match=r"no response within 0\.05 s") as caught:
            await ChatEndpoint(oracle.url, session, timeout_s=0.05).complete(
                {"messages": [{"content": [{"type": "text", "text": ""}]}]}
            )
    assert caught.value.retryable
