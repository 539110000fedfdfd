"""Workers that speak the OpenAI protocol over HTTP, as vLLM does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import aiohttp
import orjson

from sarlens.errors import Timeout, WorkerFailed, WorkerUnreachable

_PROBE = aiohttp.ClientTimeout(total=5)


class Patience(NamedTuple):
    """Seconds to wait for a worker: for a stream to begin, for the next piece of it, for an answer in one piece."""

    first_token_s: float
    idle_s: float
    answer_s: float


class HttpReply:
    """An answer of a worker that has begun."""

    __slots__ = ("_idle_s", "_response", "content_type", "first", "status", "streams")

    def __init__(self, response: aiohttp.ClientResponse, first: bytes, idle_s: float) -> None:
        self._response = response
        self._idle_s = idle_s
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "application/json")
        self.streams = _streams(response)
        self.first = first

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, from its beginning."""
        chunk = self.first
        try:
            while chunk:
                yield chunk
                async with asyncio.timeout(self._idle_s):
                    chunk = await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _broken(error) from error

    def close(self) -> None:
        """Be done with it; a connection whose answer is not over is closed, which aborts the generation."""
        self._response.close()


def _streams(response: aiohttp.ClientResponse) -> bool:
    return response.status < 400 and response.headers.get("Content-Type", "").startswith("text/event-stream")


async def _first(response: aiohttp.ClientResponse) -> bytes:
    """The first piece of a stream, or a whole body."""
    if not _streams(response):
        return await response.read()
    first = await response.content.readany()
    if not first:
        raise WorkerFailed("The worker ended its answer before it had begun.")
    return first


def _unanswered(error: BaseException) -> BaseException:
    """What it means that an answer did not begin."""
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return WorkerUnreachable("The worker does not accept connections.")
        case TimeoutError():
            return Timeout("The worker did not begin to answer in time.")
        case aiohttp.ClientError() | OSError():
            return WorkerFailed("The worker broke off before it had answered.")
    return error


def _broken(error: Exception) -> WorkerFailed | Timeout:
    if isinstance(error, TimeoutError):
        return Timeout("The worker fell silent in the middle of its answer.")
    return WorkerFailed("The worker broke off in the middle of its answer.")


class HttpClient:
    """One worker behind an HTTP base URL."""

    takes_ids = True

    def __init__(
        self, url: str, session: aiohttp.ClientSession, patience: Patience, *, api_key: str | None = None
    ) -> None:
        self.url = url
        self._patience = patience
        self._session = session
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    async def send(
        self, path: str, body: bytes, request_id: str, trace: Mapping[str, str], *, stream: bool
    ) -> HttpReply:
        """Post a request and wait until its answer has begun."""
        headers = {**self._headers, "X-Request-Id": request_id, **trace}
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(self._patience.first_token_s if stream else self._patience.answer_s):
                response = await self._post(path, body, headers)
                first = await _first(response)
        except BaseException as error:
            if response is not None:
                response.close()
            raise _unanswered(error) from error
        return HttpReply(response, first, self._patience.idle_s)

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(self.url + path, data=body, headers=headers)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # A pooled connection that the worker had just closed: nothing was answered on it, so ask on a new one.
            return await self._session.post(self.url + path, data=body, headers=headers)

    async def models(self) -> dict[str, dict[str, Any]]:
        """The model cards that the worker serves now, by id."""
        try:
            async with self._session.get(self.url + "/health", timeout=_PROBE) as health:
                if health.status != 200:
                    raise WorkerFailed(f"The worker's health check answers {health.status}.")
            async with self._session.get(self.url + "/v1/models", headers=self._headers, timeout=_PROBE) as listing:
                if listing.status != 200:
                    raise WorkerFailed(f"The worker's model list answers {listing.status}.")
                cards = orjson.loads(await listing.read())["data"]
                return {card["id"]: card for card in cards}
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise WorkerUnreachable("The worker cannot be reached.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise WorkerFailed("The worker's model list is not an OpenAI model list.") from error


def open_session(*, connect_s: float, keepalive_s: float) -> aiohttp.ClientSession:
    """The pooled connections to all workers.

    No total timeout: an answer may take as long as it keeps coming. Bodies are passed on as they are, so nothing
    is decompressed.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive_s, ttl_dns_cache=10),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    )
