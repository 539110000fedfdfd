"""Client of an OpenAI-compatible chat endpoint, with retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from sarbench.run.completion import Completion, parse_completion

RETRYABLE_STATUSES = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that are retried."""
INITIAL_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0


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

        Raises:
            RequestFailed: the last attempt failed, or an attempt failed with an error that isn't retryable.
        """
        for attempt in range(1, attempts + 1):
            try:
                return await self.complete(body)
            except RequestFailed as failure:
                on_failure(attempt, failure)
                if not failure.retryable or attempt == attempts:
                    raise
                backoff = INITIAL_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311  jitter
                await asyncio.sleep(min(MAX_BACKOFF_S, max(backoff, failure.retry_after_s)))
        raise ValueError("attempts must be at least 1")


def _parse_response(response: aiohttp.ClientResponse, raw: bytes) -> Completion:
    if response.status != 200:
        retryable = response.status in RETRYABLE_STATUSES or response.status >= 500
        raise RequestFailed(
            _error_message(raw), status=response.status, retryable=retryable, retry_after_s=_retry_after(response)
        )
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
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0
