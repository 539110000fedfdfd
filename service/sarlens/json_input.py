"""JSON of callers: parse it within limits that are checked on its bytes.

The parser holds the interpreter's lock, so its duration is a pause of all requests. Two limits bound the pause: the
number of values, and the size without the images. Long ``data:`` URLs are cut out before the parser sees them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson

from sarlens.errors import BadRequest, PayloadTooLarge

MAX_VALUES = 131_072
"""Maximum number of values in a document: numbers, texts, objects, arrays, true, false and null."""
MAX_TEXT_BYTES = 8 * 2**20
"""Maximum size of a document without long ``data:`` URLs."""
MAX_INLINE_BYTES = 256 * 2**10
"""Documents of this size can't have more values, and are parsed and serialized on the event loop."""
_MAX_SCANNED_BYTES = 4 * 2**20
"""Size of a document whose data: URLs are found on the event loop."""
_LONG_URL_BYTES = 64 * 2**10
_MAX_URLS = 4096
_PIECE_BYTES = 256 * 2**10
_DATA = b'"data:'
_URL_FIELDS = frozenset({"url", "image_url", "image", "data"})
"""Fields that can have a long ``data:`` URL, or a list of them."""
_OTHERS_THAN_STRUCTURE = bytes(set(range(256)) - set(b'",[{'))

T = TypeVar("T")

Document = bytes | bytearray
"""Bytes of a JSON document. A bytearray isn't changed while it is parsed."""


class _DataUrl(NamedTuple):
    """Place of a long ``data:`` URL in a document, without its quotation marks."""

    start: int
    end: int


async def run_off_loop(size: int, convert: Callable[[], T]) -> T:
    """Return ``convert()``, which parses or serializes a document, in a thread if its ``size`` in bytes is large."""
    return convert() if size <= MAX_INLINE_BYTES else await asyncio.to_thread(convert)


def text_bytes(data: Document) -> int:
    """Return the size of a document without its long ``data:`` URLs, which a parser doesn't see.

    Of a document that is too large to be scanned, it is the size with them.
    """
    if not MAX_INLINE_BYTES < len(data) <= _MAX_SCANNED_BYTES:
        return len(data)
    return len(data) - sum(end - start for start, end in _long_data_urls(data))


def load_json(data: Document, name: str = "The body") -> Any:
    """Parse a document. ``name`` is the field that holds it, unless it is a body.

    Raises:
        BadRequest: the document isn't valid JSON.
        PayloadTooLarge: the document has too many values, or too much text.
    """
    if len(data) <= MAX_INLINE_BYTES:
        return _loads(data, name)
    urls = list(_long_data_urls(data))
    if len(data) - sum(end - start for start, end in urls) > MAX_TEXT_BYTES:
        raise _too_much_text(name)
    nonce = token_hex(16)
    parts, position = [], 0
    for index, (start, end) in enumerate(urls):
        parts += [data[position:start], f"{nonce}-{index}".encode()]
        position = end
    rest = b"".join((*parts, data[position:]))
    if not has_few_values(rest):
        raise PayloadTooLarge(f"{name} has more than {MAX_VALUES} JSON values.")
    document = _loads(rest, name)
    return _restore(document, data, {f"{nonce}-{index}": url for index, url in enumerate(urls)}, name)


def dump_json(document: Any) -> bytes:
    """Serialize a parsed document again.

    Raises:
        BadRequest: the document is nested more deeply than the serializer supports, which is less than the parser does.
    """
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise BadRequest("The request is nested too deeply.") from None


def has_few_values(data: Document) -> bool:
    """Whether a document has at most ``MAX_VALUES`` values; a malformed one, before its first error."""
    # Each value follows a comma or the start of an array or object; an empty one counts twice. Texts have commas too.
    if sum(map(data.count, (b",", b"[", b"{"))) < MAX_VALUES:
        return True
    values, in_text, rest = 1, 0, b""
    for start in range(0, len(data), _PIECE_BYTES):
        piece = (rest + data[start : start + _PIECE_BYTES]).replace(rb"\\", b"").replace(rb"\"", b"")
        rest = piece[-1:] if piece.endswith(b"\\") else b""
        structure = np.frombuffer(piece.translate(None, _OTHERS_THAN_STRUCTURE), np.uint8)
        quotes = structure == ord('"')
        texts = np.cumsum(quotes, dtype=np.int32) + in_text
        in_text = int(texts[-1]) % 2 if len(texts) else in_text
        values += int(np.count_nonzero(~quotes & (texts % 2 == 0)))
        if values > MAX_VALUES:
            return False
    return True


def _long_data_urls(data: Document) -> Iterator[_DataUrl]:
    """Find the long ``data:`` URLs among the first ``_MAX_URLS`` ones, up to ``MAX_TEXT_BYTES`` of other bytes.

    A text can't contain a quotation mark without a backslash, so each is a complete text of a valid document.
    """
    position, text_bytes = 0, 0
    for _ in range(_MAX_URLS):
        start = data.find(_DATA, position, position + MAX_TEXT_BYTES - text_bytes + len(_DATA))
        end = data.find(b'"', start + 1)
        if start < 0 or end < 0:
            return
        is_value = data[start - 1 : start] != b"\\" and data[end + 1 : end + 64].lstrip()[:1] != b":"
        if is_value and end - start > _LONG_URL_BYTES and data.find(b"\\", start, end) < 0:
            yield _DataUrl(start + 1, end)
            text_bytes -= end - start
        text_bytes += end - position
        position = end


def _restore(document: Any, data: Document, urls: dict[str, _DataUrl], name: str) -> Any:
    """Put the ``data:`` URLs back into a document."""
    root = [document]
    stack: list[tuple[Any, str]] = [(root, "")] if urls else []
    while stack:
        container, field = stack.pop()
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            inner_field = key if isinstance(key, str) else field
            if isinstance(value, dict | list):
                stack.append((value, inner_field))
            elif isinstance(value, str) and value in urls:
                if inner_field not in _URL_FIELDS:
                    raise _too_much_text(name)
                container[key] = _ascii(memoryview(data)[slice(*urls[value])], name)
    return root[0]


def _ascii(url: memoryview, name: str) -> str:
    # A failed conversion would copy the whole URL into its exception.
    if np.frombuffer(url, np.uint8).max() >= 128:
        raise BadRequest(f"{name} has a data: URL with characters that aren't ASCII.")
    return str(url, "ascii")


def _loads(data: Document, name: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{name} is not valid JSON: {error}.") from None


def _too_much_text(name: str) -> PayloadTooLarge:
    return PayloadTooLarge(f"{name} has more than {MAX_TEXT_BYTES} bytes apart from the data: URLs of images.")
