"""HTTP requests to a gateway, and its errors as exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from yarl import URL

from sarlens.client.errors import GatewayError, GatewayUnreachable

_MAX_LINE_BYTES = 16 * 2**20
"""Maximum size of one line of a response."""


class Transport:
    """Connections to one gateway, opened at the first request."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float | None) -> None:
        url = URL(base_url) if "://" in base_url else None
        if url is None or url.scheme not in {"http", "https"} or not url.host:
            raise GatewayError(f"{base_url!r} isn't the base URL of a gateway, such as http://localhost:8080")
        self._base_url = f"{base_url.rstrip('/')}/"
        self._origin = str(url.with_user(None).with_query(None).with_fragment(None)).rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=10)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self, method: str, path: str, *, expected_status: int = 200, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its response.

        Args:
            method: HTTP method.
            path: path below the base URL, without a slash at its begin.
            expected_status: status of a successful response.
            options: further options of ``aiohttp.ClientSession.request``.

        Raises:
            GatewayUnreachable: no gateway answers, or the connection breaks off.
            GatewayError: the gateway rejects the request.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                self._base_url, headers=self._headers, timeout=self._timeout, read_bufsize=_MAX_LINE_BYTES
            )
        try:
            async with self._session.request(method, path, **options) as response:
                await self._raise_for_status(response, expected_status)
                yield response
        except aiohttp.ClientConnectorError:
            raise GatewayUnreachable(f"no gateway answers at {self._origin}") from None
        except aiohttp.ClientError as error:
            raise GatewayUnreachable(f"the connection to {self._origin} failed: {type(error).__name__}") from error
        except TimeoutError:
            raise GatewayError(f"{self._origin} didn't answer within {self._timeout.total} s") from None

    async def get_json(self, path: str) -> dict[str, Any]:
        """Return the JSON object of a path."""
        async with self.request("GET", path) as response:
            return dict(orjson.loads(await response.read()))

    async def _raise_for_status(self, response: aiohttp.ClientResponse, expected_status: int) -> None:
        if response.status == expected_status:
            return
        try:
            error = orjson.loads(await response.read())["error"]
            message, code = str(error["message"]), error.get("code")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            message, code = f"{self._origin} answers {response.status}; it may not be a Sarlens gateway", None
        raise GatewayError(message, status=response.status, code=code)
