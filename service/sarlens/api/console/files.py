"""Files of the package that browsers load, with the headers that bound what a page can do."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import Request, Response

from sarlens.api.common.responses import has_etag
from sarlens.errors import NotFound

STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class BuiltFile(NamedTuple):
    """A built file in memory."""

    data: bytes
    compressed: bytes
    """``data`` in gzip format."""
    etag: str
    media_type: str


@cache
def built_files() -> Mapping[str, Path]:
    """Return the path of each built file by its name, such as ``console/console.js``."""
    return {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file()}


@cache
def read_file(name: str) -> BuiltFile:
    """Read and compress a built file, once.

    Raises:
        NotFound: no built file has this name.
    """
    path = built_files().get(name)
    if path is None:
        raise NotFound("The console has no such file.")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:32]
    return BuiltFile(data, gzip.compress(data, 9, mtime=0), f'"{digest}"', _MEDIA_TYPES[path.suffix])


def send_file(request: Request, name: str, content_security_policy: str) -> Response:
    """Return a built file, or 304 if the client has it.

    Raises:
        NotFound: no built file has this name.
    """
    if name not in built_files():
        raise NotFound("The console has no such file.")
    file = read_file(name)
    headers = {**_HEADERS, "Content-Security-Policy": content_security_policy, "ETag": file.etag}
    if has_etag(request.headers.getlist("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.data, headers=headers, media_type=file.media_type)
    return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)
