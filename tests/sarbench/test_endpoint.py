"""What comes back from an endpoint: an answer, or a failure of which it is known whether it passes."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sarbench.run.endpoint import Endpoint, NoAnswer
from stack.oracle import Oracle, completion, error


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
        (lambda: completion(None), False),
        (_cut_short, True),
        (lambda: error(503, "no worker"), True),
        (lambda: error(429, "slow down"), True),
        (lambda: error(422, "bad field"), False),
        (lambda: web.Response(status=502, text="Bad Gateway"), True),
    ],
)
async def test_whatever_is_no_answer_is_known_as_none(reply: Any, passing: bool, oracle: Oracle) -> None:
    """A reply without text is a failure, and it is known whether asking again may help."""
    oracle.misbehave = lambda _: reply()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NoAnswer) as caught:
            await Endpoint(oracle.url, session).ask({"messages": [{"content": [{"type": "text", "text": ""}]}]})
    assert caught.value.passing is passing


async def test_an_endpoint_may_ask_for_a_pause(oracle: Oracle) -> None:
    """Retry-After is heard, and nonsense in it ignored."""
    values = iter(("7", "soon", "-1"))
    oracle.misbehave = lambda _: web.Response(status=429, headers={"Retry-After": next(values)})
    async with aiohttp.ClientSession() as session:
        for pause in (7.0, 0.0, 0.0):
            with pytest.raises(NoAnswer) as caught:
                await Endpoint(oracle.url, session).ask({"messages": [{"content": [{"type": "text", "text": ""}]}]})
            assert caught.value.pause_s == pause


async def test_an_answer_that_takes_too_long_is_given_up(oracle: Oracle) -> None:
    """A timeout is a passing failure."""
    oracle.pause_s = 5
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s") as caught:
            await Endpoint(oracle.url, session, timeout_s=0.05).ask(
                {"messages": [{"content": [{"type": "text", "text": ""}]}]}
            )
    assert caught.value.passing
