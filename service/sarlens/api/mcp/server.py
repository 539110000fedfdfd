"""The MCP server of the SDK: tools in its words, one server for all requests, and no state between them."""

from __future__ import annotations

from typing import Any

import orjson
import pybase64
import structlog
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListToolsResult,
    ResourceLink,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

import sarlens
from sarlens.api.common.error_responses import INTERNAL_ERROR_MESSAGE, openai_error
from sarlens.api.jobs.responses import GEOJSON
from sarlens.api.mcp.tools import Call, ToolOutput, Tools
from sarlens.api.ogc.negotiation import base_url
from sarlens.errors import BadRequest, SarlensError

log = structlog.get_logger(__name__)

_INSTRUCTIONS = (
    "Questions about synthetic aperture radar images. Use look to see an image, ask for typed answers about one "
    "picture, and survey for a scene that is larger than a picture."
)


class McpServer:
    """Serves MCP requests, each one without a session."""

    def __init__(self, tools: Tools, *, public_url: str | None, max_body_bytes: int) -> None:
        listed = tools.list_tools()
        self._calls = {tool.name: tool.call for tool in listed}
        self._public_url = public_url
        self._max_body_bytes = max_body_bytes
        self._tools = [
            Tool(
                name=tool.name,
                title=tool.title,
                description=tool.description,
                input_schema=tool.arguments,
                output_schema=tool.result,
                annotations=ToolAnnotations(read_only_hint=tool.read_only),
            )
            for tool in listed
        ]
        self._server: Server[Any] = Server(
            "sarlens",
            version=sarlens.__version__,
            title="Sarlens",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        # The gateway has its own spans.
        self._server.middleware.clear()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What the SDK starts for it ends with it."""
        manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=self._max_body_bytes
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    async def _list_tools(self, _context: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=self._tools)

    async def _call_tool(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        request: Request = context.request
        try:
            output = await self._find(params.name)(params.arguments or {}, request)
        except SarlensError as error:
            return _failed(error, request)
        except Exception:
            log.exception("unexpected error", request_id=request.state.context.request_id, path="/mcp")
            return _failed(SarlensError(INTERNAL_ERROR_MESSAGE), request)
        return CallToolResult(content=self._content(output, request), structured_content=output.document)

    def _find(self, name: str) -> Call:
        if name not in self._calls:
            raise BadRequest(f"There is no such tool. Tools: {', '.join(self._calls)}.", param="name")
        return self._calls[name]

    def _content(self, output: ToolOutput, request: Request) -> list[ContentBlock]:
        """The structured content as text, for clients that don't read it, then picture and link."""
        content: list[ContentBlock] = [TextContent(text=orjson.dumps(output.document).decode())]
        if (picture := output.picture) is not None:
            data = pybase64.b64encode(picture.data).decode()
            content.append(ImageContent(data=data, mime_type=picture.media_type))
        if output.result_path is not None:
            uri = base_url(request, self._public_url) + output.result_path
            content.append(ResourceLink(uri=uri, name="Answers of the survey", mime_type=GEOJSON))
        return content


def _failed(error: SarlensError, request: Request) -> CallToolResult:
    """The result of a tool that failed: the sentence of the error and its code."""
    request.state.record.set_error(error)
    document = openai_error(error, request.state.context.request_id)
    if error.retry_after is not None:
        document["error"]["retry_after"] = error.retry_after
    text = TextContent(text=f"{error.message} ({error.code})")
    return CallToolResult(content=[text], structured_content=document, is_error=True)
