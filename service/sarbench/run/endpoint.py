"""An OpenAI-compatible chat endpoint, asked with patience."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

RETRIED = frozenset({408, 409, 425, 429})
"""Statuses below 500 that may pass."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class NoAnswer(Exception):
    """One attempt brought no answer.

    ``status`` is the HTTP status, None where there was none; ``passing`` says whether another attempt may do better;
    ``pause_s`` is how long the endpoint asks to wait.
    """

    def __init__(self, reason: str, *, status: int | None = None, passing: bool, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.passing = passing
        self.pause_s = pause_s


@dataclass(frozen=True)
class Endpoint:
    """Where to post chats: ``base_url`` ends in ``/v1``; a body goes to ``/chat/completions`` beneath it."""

    base_url: str
    session: aiohttp.ClientSession
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 300.0

    async def ask(self, body: dict[str, Any]) -> str:
        """The text of the first choice.

        Raises:
            NoAnswer: the endpoint cannot be reached, refuses, or what it says is no chat completion.
        """
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            async with self.session.post(
                f"{self.base_url.rstrip('/')}/chat/completions",
                data=orjson.dumps(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
            ) as response:
                return _text(response, await response.read())
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self.timeout_s:g} s", passing=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}", passing=True) from error

    async def ask_patiently(
        self, body: dict[str, Any], attempts: int, told: Callable[[int, NoAnswer], None] = lambda _, __: None
    ) -> str:
        """Ask up to ``attempts`` times with growing pauses; ``told`` hears of every attempt that failed.

        Raises:
            NoAnswer: the last attempt's, or the first that no further attempt can mend.
        """
        for attempt in range(1, attempts + 1):
            try:
                return await self.ask(body)
            except NoAnswer as failure:
                told(attempt, failure)
                if not failure.passing or attempt == attempts:
                    raise
                growing = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 spreads load
                await asyncio.sleep(min(LONGEST_PAUSE_S, max(growing, failure.pause_s)))
        raise ValueError("attempts must be at least 1")


def _text(response: aiohttp.ClientResponse, raw: bytes) -> str:
    if response.status != 200:
        passing = response.status in RETRIED or response.status >= 500
        raise NoAnswer(_reason(raw), status=response.status, passing=passing, pause_s=_pause(response))
    try:
        text = orjson.loads(raw)["choices"][0]["message"]["content"]
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise NoAnswer("the reply is no chat completion", status=200, passing=True) from error
    if not isinstance(text, str):
        raise NoAnswer("the reply has no text", status=200, passing=False)
    return text


def _reason(raw: bytes) -> str:
    """The sentence in an error object, or the beginning of whatever came instead."""
    try:
        return str(orjson.loads(raw)["error"]["message"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return raw[:300].decode("utf-8", "replace")


def _pause(response: aiohttp.ClientResponse) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0
