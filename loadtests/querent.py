"""One who asks what ``mix.py`` has, of REST and gRPC, and knows an answer from a failure."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc
import grpc.aio

from mix import CHAT, RPC, SEQUENCE, SURVEYS, Mix
from sarlens.v1 import sar_pb2_grpc

_PATIENCE_S = 120
_TIMEOUT = aiohttp.ClientTimeout(total=_PATIENCE_S)


class Unanswered(Exception):
    """A request that was refused, failed in part, or whose stream broke off."""


class Querent:
    """Asks a gateway on every surface.

    Args:
        url, rpc: where REST and gRPC are.
        session: connections to use.
        mix: what to ask.
    """

    def __init__(self, url: str, rpc: grpc.aio.Channel, session: aiohttp.ClientSession, mix: Mix) -> None:
        self._url = url
        self._stub = sar_pb2_grpc.SarStub(rpc)
        self._session = session
        self._mix = mix

    async def ask(self) -> None:
        """Ask whatever is next and wait for the end of its answer.

        Raises:
            Unanswered, aiohttp.ClientError, grpc.RpcError, TimeoutError: there is none.
        """
        surface = self._mix.surface()
        if surface == RPC:
            await self._stub.Vqa(self._mix.rpc(), timeout=_PATIENCE_S)
        else:
            await self._post(surface)

    async def _post(self, surface: str) -> None:
        body = json.dumps(self._mix.body(surface)).encode()
        headers = {"Content-Type": "application/json", **(SEQUENCE if surface == SURVEYS else {})}
        async with self._session.post(
            f"{self._url}{surface}", data=body, headers=headers, timeout=_TIMEOUT
        ) as response:
            answer = await response.read()
            whole = surface != CHAT or b"data: [DONE]" in answer
            if surface == SURVEYS and response.status == 200:
                whole = answer.count(b"\x1e") >= int(response.headers["Sarlens-Tiles"])
            if response.status != 200 or not whole or b'"error"' in answer:
                raise Unanswered(f"{surface} {response.status}: {answer[-200:]!r}")


@asynccontextmanager
async def open_querent(url: str, rpc: str, mix: Mix) -> AsyncIterator[Querent]:
    """One with connections of its own, as many as it asks for at the same time; ``rpc`` is an address."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, grpc.aio.insecure_channel(rpc) as channel:
        yield Querent(url, channel, session, mix)
