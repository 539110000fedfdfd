"""Uploads: a form with a file, whose content goes to the disk as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Request

from sarlens.api.batches.multipart import MultipartParser
from sarlens.batches.storage import in_thread
from sarlens.errors import BadRequest, PayloadTooLarge

_WRITTEN_AT_ONCE = 2**20
_MAX_FORM_BYTES = 64 * 2**10
"""Bytes of a form apart from its file."""
_MAX_NAME_CHARS = 255


class Form(NamedTuple):
    """An uploaded form."""

    filename: str
    fields: dict[str, Any]
    """Fields apart from the file; ``a[b]`` is the field ``b`` of ``a``."""


async def receive_form(request: Request, path: Path, max_file_bytes: int, grow: Callable[[int], None]) -> Form:
    """Write the file of a form to ``path``, and return the other fields.

    ``grow`` is called with the size of each part of the file.

    Raises:
        BadRequest: the body isn't a form with a file, or ends too early.
        PayloadTooLarge: the body is too large, or ``grow`` raises it.
        RequestTimeout: the body arrives too slowly.
        FilesUnavailable: the file can't be written.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > max_file_bytes + _MAX_FORM_BYTES:
        raise PayloadTooLarge(f"A file can have at most {max_file_bytes} bytes.", param="file")
    content, other_bytes = bytearray(), 0
    parser = MultipartParser(request.headers.get("content-type", ""), "file", content.extend)
    with await in_thread(lambda: path.open("wb")) as file:
        more = True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The body ended before it was complete.")
            body, more = message.get("body", b""), message.get("more_body", False)
            size = len(content)
            parser.feed(body)
            grow(len(content) - size)
            other_bytes += len(body) - (len(content) - size)
            if other_bytes > _MAX_FORM_BYTES:
                raise PayloadTooLarge(f"A form can have at most {_MAX_FORM_BYTES} bytes apart from its file.")
            if len(content) >= _WRITTEN_AT_ONCE or not more:
                await in_thread(file.write, bytes(content))
                content.clear()
    parser.end()
    return Form(_clean(parser.filename or ""), _nested(parser.fields))


def _clean(name: str) -> str:
    """Return the last part of a file name without characters that a header or a page can't have."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:_MAX_NAME_CHARS] or "file"


def _nested(fields: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in fields.items():
        outer, bracket, inner = name.partition("[")
        if bracket and inner.endswith("]") and isinstance(document.setdefault(outer, {}), dict):
            document[outer][inner[:-1]] = value
        else:
            document[name] = value
    return document
