"""``POST /mcp``: the Model Context Protocol by stateless streamable HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from starlette.types import Message, Receive, Scope, Send
from yarl import URL

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.disconnect import CancelOnDisconnect
from sarlens.api.common.responses import read_body
from sarlens.api.common.translated_chat import AsgiResponse
from sarlens.api.mcp.tools import Tools
from sarlens.errors import NotFound, PermissionDenied
from sarlens.json_input import Document, load_json, run_off_loop, text_bytes

if TYPE_CHECKING:
    from sarlens.api.mcp.server import McpServer

MCP_PATH = "/mcp"
_MAX_BODY_BYTES = 2**20
"""Maximum size of a message, which the SDK parses on the event loop; images are named by URL."""


class McpEndpoint:
    """The route of MCP. Its server is made by the first request, since the import of the SDK takes a second."""

    def __init__(
        self,
        tools: Tools,
        memory: BodyMemoryBudget,
        *,
        max_body_bytes: int,
        origins: Collection[str],
        public_url: str | None,
    ) -> None:
        self._tools = tools
        self._memory = memory
        self._max_body_bytes = min(max_body_bytes, _MAX_BODY_BYTES)
        self._origins = frozenset(origins) | ({str(URL(public_url).origin())} if public_url else set())
        self._public_url = public_url
        self._server: McpServer | None = None
        self._lock = asyncio.Lock()

    def router(self) -> APIRouter:
        """Return the route for FastAPI."""
        router = APIRouter(include_in_schema=False)

        @router.post(MCP_PATH, response_class=Response)
        async def mcp(_: Request) -> Response:
            """Serve a message of the Model Context Protocol."""
            return AsgiResponse(self._serve)

        return router

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one message.

        Raises:
            PermissionDenied: a web page of another origin sent it.
            NotFound: the SDK isn't installed.
            BadRequest, PayloadTooLarge: the body isn't JSON, or is too large.
        """
        self._check_origin(scope)
        server = await self._load_server()
        with self._memory.reserve(scope["state"]["context"].client) as reservation:
            body = await read_body(scope, receive, self._max_body_bytes, reservation)
            await run_off_loop(text_bytes(body), partial(load_json, body))
            with CancelOnDisconnect(scope):
                await server.serve(scope, _replay(body, receive), send)

    def _check_origin(self, scope: Scope) -> None:
        """Reject web pages of other origins, such as one whose name was rebound to this address."""
        sent = {value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"}
        if "*" not in self._origins and not sent <= self._origins:
            raise PermissionDenied("The origin of the web page isn't allowed. The setting is SARLENS_CORS__ORIGINS.")

    async def _load_server(self) -> McpServer:
        async with self._lock:
            if self._server is None:
                if find_spec("mcp") is None:
                    raise NotFound('The gateway has no MCP. Install its extra: pip install ".[mcp]" in a checkout.')
                self._server = await asyncio.to_thread(self._make_server)
            return self._server

    def _make_server(self) -> McpServer:
        from sarlens.api.mcp.server import McpServer

        return McpServer(self._tools, public_url=self._public_url, max_body_bytes=self._max_body_bytes)


def _replay(body: Document, receive: Receive) -> Receive:
    """Return a ``receive`` that yields a body that was read, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
