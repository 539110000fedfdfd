"""``/v1/files``: upload, list, read and delete files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from starlette.types import Receive, Scope, Send

from sarlens.api.batches.schemas import FileFields, file_object, list_object
from sarlens.api.batches.upload import receive_form
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import HEADERS_ONLY, NOSNIFF
from sarlens.api.common.schemas import validate_body
from sarlens.api.jobs.responses import json_response, owner_filter, owner_of
from sarlens.batches.file_service import FileService
from sarlens.batches.storage import temporary_file
from sarlens.errors import BadRequest
from sarlens.jobs.files import StoredFile
from sarlens.jobs.pages import Page

FILES_PATH = "/v1/files"
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The file."},
                        "purpose": {
                            "type": "string",
                            "enum": ["batch", "vision", "user_data"],
                            "description": "`batch` is the input of a batch.",
                        },
                        "expires_after[anchor]": {
                            "type": "string",
                            "enum": ["created_at"],
                            "description": "Always `created_at`.",
                        },
                        "expires_after[seconds]": {
                            "type": "integer",
                            "description": "Seconds until the file expires, from an hour to 30 days.",
                        },
                    },
                }
            }
        },
    }
}


class Files:
    """Routes of files."""

    def __init__(self, files: FileService, authorizer: Authorizer) -> None:
        self._files = files
        self._authorizer = authorizer

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["files"], default_response_class=Response)
        router.add_api_route(FILES_PATH, self.upload, methods=["POST"], openapi_extra=_UPLOAD)
        router.add_api_route(FILES_PATH, self.list, methods=["GET"])
        router.add_api_route(FILES_PATH + "/{file_id}", self.retrieve, methods=["GET"])
        router.add_api_route(FILES_PATH + "/{file_id}", self.delete, methods=["DELETE"])
        router.add_api_route(FILES_PATH + "/{file_id}/content", self.content, methods=["GET"])
        return router

    async def upload(self, request: Request) -> Response:
        """Upload a file.

        The file belongs to the API key. It expires after `SARLENS_FILES__RETENTION_S`, or when the form says.
        """
        context: RequestContext = request.state.context
        await self._authorizer.count_request(context.key)
        owner, storage = owner_of(context).name, self._files.storage
        with await self._files.begin_upload(owner) as upload:
            async with temporary_file(storage) as path:
                form = await receive_form(request, path, self._files.limits.max_file_bytes, upload.grow)
                fields = validate_body(FileFields, form.fields)
                file = await self._files.add(owner, form.filename, fields.purpose, path, ttl_s=fields.ttl_s)
        return json_response(file_object(file))

    async def list(
        self,
        request: Request,
        purpose: Annotated[str | None, Query(max_length=32, description="Purpose of the files")] = None,
        limit: Annotated[int, Query(ge=1, le=10_000, description="Maximum number of files")] = 10_000,
        order: Annotated[Literal["asc", "desc"], Query(description="Order of the times of creation")] = "desc",
        after: Annotated[str | None, Query(max_length=96, description="Id of the last file of the page before")] = None,
    ) -> Response:
        """List the files of this API key."""
        page = Page(after, limit + 1, oldest_first=order == "asc")
        files = await self._files.list_files(owner_filter(request), purpose, page)
        return json_response(list_object([file_object(file) for file in files[:limit]], has_more=len(files) > limit))

    async def retrieve(self, request: Request, file_id: str) -> Response:
        """Get name, size and purpose of a file."""
        return json_response(file_object(await self._find(request, file_id)))

    async def delete(self, request: Request, file_id: str) -> Response:
        """Delete a file. A file that a batch still reads can't be deleted."""
        file = await self._find(request, file_id)
        await self._files.delete(file)
        return json_response({"id": file.id, "object": "file", "deleted": True})

    async def content(self, request: Request, file_id: str) -> Response:
        """Get the content of a file."""
        file = await self._find(request, file_id)
        return FileContentResponse(file, self._files.read(file))

    async def _find(self, request: Request, file_id: str) -> StoredFile:
        if "\0" in file_id:
            raise BadRequest("The id of a file has no control characters.", param="file_id")
        return await self._files.find(file_id, owner_filter(request))


class FileContentResponse(Response):
    """The content of a file as a download. An error before the first byte has its own status."""

    def __init__(self, file: StoredFile, content: AsyncGenerator[bytes]) -> None:
        super().__init__(media_type="application/octet-stream")
        self._file = file
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the content, or its headers."""
        disposition = f"attachment; filename*=UTF-8''{quote(self._file.filename, safe='')}"
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(self._file.bytes).encode()),
            (b"content-disposition", disposition.encode()),
            NOSNIFF,
        ]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        if HEADERS_ONLY in scope:
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        async with aclosing(self._content) as content:
            first = await anext(content, b"")
            await send(start)
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for part in content:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
