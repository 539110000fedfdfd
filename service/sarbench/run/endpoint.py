"""Client of an OpenAI-compatible chat endpoint, with retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

import aiohttp
import orjson

from sarbench.run.completion import Completion, parse_completion

RETRYABLE_STATUSES = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that are retried."""
RATE_LIMITED = 429
INITIAL_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
MAX_RETRY_AFTER_S = 300.0
"""Longest pause that an endpoint can ask for by Retry-After."""
RATE_LIMIT_PATIENCE_S = 150.0
"""Total time of the pauses after status 429, which aren't counted as attempts: more than two minutes of a limit."""


class RequestFailed(Exception):
    """One request failed.

    ``status`` is the HTTP status, or None without a response. ``retryable`` says whether a retry can succeed.
    ``retry_after_s`` is the endpoint's Retry-After value in seconds.
    """

    def __init__(self, reason: str, *, status: int | None = None, retryable: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class ChatEndpoint:
    """An endpoint whose ``base_url`` ends in ``/v1``; requests go to ``/chat/completions`` below it."""

    base_url: str
    session: aiohttp.ClientSession
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 300.0

    async def complete(self, body: dict[str, Any]) -> Completion:
        """Send one request and return the completion of the first choice.

        Raises:
            RequestFailed: the endpoint is unreachable, rejects the request, or returns no chat completion.
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
                return _parse_response(response, await response.read())
        except TimeoutError as error:
            raise RequestFailed(f"no response within {self.timeout_s:g} s", retryable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise RequestFailed(f"{type(error).__name__}: {error}", retryable=True) from error

    async def complete_with_retries(
        self, body: dict[str, Any], attempts: int, on_failure: Callable[[int, RequestFailed], None] = lambda _, __: None
    ) -> Completion:
        """Try up to ``attempts`` times with exponential backoff. ``on_failure`` receives each failed attempt.

        A response with status 429 is not counted as an attempt, until the pauses after them exceed
        ``RATE_LIMIT_PATIENCE_S``.

        Raises:
            RequestFailed: the last attempt failed, or an attempt failed with an error that isn't retryable.
        """
        requests = counted = 0
        patience_s = RATE_LIMIT_PATIENCE_S
        while True:
            requests += 1
            try:
                return await self.complete(body)
            except RequestFailed as failure:
                on_failure(requests, failure)
                pause_s = _pause_s(requests, failure)
                if failure.status == RATE_LIMITED and patience_s > 0:
                    patience_s -= pause_s
                else:
                    counted += 1
                if not failure.retryable or counted >= attempts:
                    raise
            await asyncio.sleep(pause_s)


def _pause_s(requests: int, failure: RequestFailed) -> float:
    """Return the pause after a number of failed requests, in seconds: exponential with jitter, or Retry-After."""
    backoff_s: float = min(INITIAL_BACKOFF_S * 2 ** min(requests - 1, 16), MAX_BACKOFF_S)
    jitter = random.uniform(0.5, 1.0)  # noqa: S311
    return max(backoff_s * jitter, min(failure.retry_after_s, MAX_RETRY_AFTER_S))


def _parse_response(response: aiohttp.ClientResponse, raw: bytes) -> Completion:
    if response.status != 200:
        retryable = response.status in RETRYABLE_STATUSES or response.status >= 500
        message = _error_message(raw)
        if response.status == 404 and "/v1/" not in response.url.path:
            message += " (a base URL usually ends in /v1)"
        raise RequestFailed(message, status=response.status, retryable=retryable, retry_after_s=_retry_after(response))
    try:
        return parse_completion(raw)
    except ValueError as error:
        raise RequestFailed(str(error), status=200, retryable=True) from error


def _error_message(raw: bytes) -> str:
    """Return the message of an OpenAI error object, or the first 300 bytes of any other body."""
    try:
        return str(orjson.loads(raw)["error"]["message"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return raw[:300].decode("utf-8", "replace")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Return the value of Retry-After in seconds: a number, also with decimals, or an HTTP date; 0 for others."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return seconds if isfinite(seconds) and seconds > 0 else 0.0
