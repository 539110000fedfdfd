"""Client that sends the requests of ``workload_mix.py`` over REST and gRPC, and measures and checks the responses."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import grpc
import grpc.aio

from sarlens.api.grpc.v1 import sar_pb2_grpc
from workload_mix import CHAT, RPC, SEQUENCE, SURVEYS, Mix

_TIMEOUT_S = 120
_TIMEOUT = aiohttp.ClientTimeout(total=_TIMEOUT_S)
_FIRST = {CHAT: re.compile(rb'"content": ?"[^"]'), SURVEYS: re.compile(rb'"properties": ?')}
"""Start of the first token of a stream, and of the first feature of a survey."""
_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
_CODE = re.compile(rb'"(?:code|error)": ?"(\w+)"')


class RequestFailed(Exception):
    """A request was rejected, failed in part, or its stream broke off.

    Args:
        message: surface, status and end of the response.
        code: error code of the gateway, status code of gRPC, or the type of a client's error.
        is_new: whether it was the first request about its image.
    """

    def __init__(self, message: str, code: str, *, is_new: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_new = is_new


@dataclass(frozen=True)
class Answer:
    """Times of an answered request."""

    is_new: bool
    """Whether it was the first request about its image."""
    first_at: float | None
    """Monotonic time of the first token or feature; None if the response has no parts."""
    done_at: float
    """Monotonic time of the end of the response."""
    tokens: int
    """Completion tokens; 0 if the response doesn't count them."""


class MixedClient:
    """Client of one gateway.

    Args:
        url: base URL of the gateway.
        channel: gRPC channel to the gateway.
        session: HTTP connections.
        mix: source of the requests.
    """

    def __init__(self, url: str, channel: grpc.aio.Channel, session: aiohttp.ClientSession, mix: Mix) -> None:
        self._url = url
        self._stub = sar_pb2_grpc.SarStub(channel)
        self._session = session
        self.mix = mix

    async def ask(self, surface: str | None = None) -> Answer:
        """Send a request to a surface, by default a random one of the mix, and wait for the whole response.

        Raises:
            RequestFailed: the request failed.
        """
        surface = surface or self.mix.surface()
        body = self.mix.rpc() if surface == RPC else self.mix.body(surface)
        is_new = self.mix.is_new(body)
        try:
            if surface == RPC:
                await self._stub.Vqa(body, timeout=_TIMEOUT_S)
                return Answer(is_new, None, monotonic(), 0)
            return await self._post(surface, body, is_new=is_new)
        except grpc.RpcError as error:
            raise RequestFailed(f"{surface} {error}"[:300], error.code().name, is_new=is_new) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            name = type(error).__name__
            raise RequestFailed(f"{surface} {name}: {error}"[:300], name, is_new=is_new) from error

    async def _post(self, surface: str, body: Any, *, is_new: bool) -> Answer:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(SEQUENCE if surface == SURVEYS else {})}
        url = f"{self._url}{surface}"
        async with self._session.post(url, data=data, headers=headers, timeout=_TIMEOUT) as response:
            first_at, answer = await _read(response, _FIRST.get(surface))
            complete = surface != CHAT or b"data: [DONE]" in answer
            if surface == SURVEYS and response.status == 200:
                complete = answer.count(b"\x1e") >= int(response.headers["Sarlens-Tiles"])
            if response.status != 200 or not complete or b'"error"' in answer:
                code = _CODE.search(answer)
                raise RequestFailed(
                    f"{surface} {response.status}: {answer[-200:]!r}",
                    code[1].decode() if code else f"http_{response.status}",
                    is_new=is_new,
                )
        tokens = _TOKENS.findall(answer)
        return Answer(is_new, first_at, monotonic(), int(tokens[-1]) if tokens else 0)


async def _read(response: aiohttp.ClientResponse, first: re.Pattern[bytes] | None) -> tuple[float | None, bytes]:
    """Return the time when ``first`` arrived, and the whole body."""
    first_at, answer = None, bytearray()
    async for data in response.content.iter_any():
        answer += data
        if first and first_at is None and first.search(answer):
            first_at = monotonic()
    return first_at, bytes(answer)


@asynccontextmanager
async def open_client(url: str, grpc_address: str, mix: Mix) -> AsyncIterator[MixedClient]:
    """Open a client with an unlimited number of connections; ``grpc_address`` is ``host:port``."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        grpc.aio.insecure_channel(grpc_address) as channel,
    ):
        yield MixedClient(url, channel, session, mix)
