"""Workers that speak the OpenAI protocol over HTTP, as vLLM does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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

    __slots__ = ("_content", "_idle_s", "content_type", "first", "status", "streams")

    def __init__(self, response: aiohttp.ClientResponse, first: bytes, idle_s: float) -> None:
        self._content = response.content
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
                    chunk = await self._content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _broken(error) from error


def _streams(response: aiohttp.ClientResponse) -> bool:
    return response.status < 400 and response.headers.get("Content-Type", "").startswith("text/event-stream")


def _broken(error: Exception) -> WorkerFailed | Timeout:
    if isinstance(error, TimeoutError):
        return Timeout("The worker fell silent in the middle of its answer.")
    return WorkerFailed("The worker broke off in the middle of its answer.")


class HttpClient:
    """One worker behind an HTTP base URL."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, patience: Patience, *, api_key: str | None = None
    ) -> None:
        self.url = url
        self._patience = patience
        self._session = session
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    @asynccontextmanager
    async def send(self, path: str, body: bytes, request_id: str, *, stream: bool) -> AsyncIterator[HttpReply]:
        """Post a request; leaving the context before the end closes the connection, which aborts the generation."""
        headers = {**self._headers, "X-Request-Id": request_id}
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._patience.first_token_s if stream else self._patience.answer_s):
                    response = await stack.enter_async_context(await self._post(path, body, headers))
                    first = await (response.content.readany() if _streams(response) else response.read())
            except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
                raise WorkerUnreachable("The worker does not accept connections.") from error
            except TimeoutError as error:
                raise Timeout("The worker did not begin to answer in time.") from error
            except (aiohttp.ClientError, OSError) as error:
                raise WorkerFailed("The worker broke off before it had answered.") from error
            if not first and _streams(response):
                raise WorkerFailed("The worker ended its answer before it had begun.")
            yield HttpReply(response, first, self._patience.idle_s)

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
