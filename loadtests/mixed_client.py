"""Client that sends the requests of ``workload_mix.py`` over REST and gRPC, and checks the responses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc
import grpc.aio

from sarlens.api.grpc.v1 import sar_pb2_grpc
from workload_mix import CHAT, RPC, SEQUENCE, SURVEYS, Mix

_TIMEOUT_S = 120
_TIMEOUT = aiohttp.ClientTimeout(total=_TIMEOUT_S)


class RequestFailed(Exception):
    """A request was rejected, failed in part, or its stream broke off."""


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
        self._mix = mix

    async def ask(self) -> None:
        """Send a random request of the mix and wait for the whole response.

        Raises:
            RequestFailed, aiohttp.ClientError, grpc.RpcError, TimeoutError: the request failed.
        """
        surface = self._mix.surface()
        if surface == RPC:
            await self._stub.Vqa(self._mix.rpc(), timeout=_TIMEOUT_S)
        else:
            await self._post(surface)

    async def _post(self, surface: str) -> None:
        body = json.dumps(self._mix.body(surface)).encode()
        headers = {"Content-Type": "application/json", **(SEQUENCE if surface == SURVEYS else {})}
        async with self._session.post(
            f"{self._url}{surface}", data=body, headers=headers, timeout=_TIMEOUT
        ) as response:
            answer = await response.read()
            complete = surface != CHAT or b"data: [DONE]" in answer
            if surface == SURVEYS and response.status == 200:
                complete = answer.count(b"\x1e") >= int(response.headers["Sarlens-Tiles"])
            if response.status != 200 or not complete or b'"error"' in answer:
                raise RequestFailed(f"{surface} {response.status}: {answer[-200:]!r}")


@asynccontextmanager
async def open_client(url: str, grpc_address: str, mix: Mix) -> AsyncIterator[MixedClient]:
    """Open a client with an unlimited number of connections; ``grpc_address`` is ``host:port``."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        grpc.aio.insecure_channel(grpc_address) as channel,
    ):
        yield MixedClient(url, channel, session, mix)
