"""Images inside the request: ``data:`` URLs (RFC 2397) and raw bytes."""

from __future__ import annotations

import asyncio
import binascii
import re
from urllib.parse import unquote_to_bytes

import pybase64

from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.imagery.core.object_reader import InMemoryObject, ObjectReader, content_version
from sarlens.types.caller import CanRead, allow_all

_BASE64 = re.compile(r"; *base64 *\Z", re.IGNORECASE)
_MAX_HEAD_CHARS = 4096
"""Maximum length of the part before the comma."""
_MAX_INLINE_BYTES = 2 * 2**20
"""Length of a URL that is decoded, and of an image that is hashed, on the event loop, in half a millisecond."""
_MAX_ESCAPES = 65_536
"""Maximum number of percent-encoded bytes; decoding takes 100 times their memory."""
_PIECE_BYTES = 2**20
_WHITESPACE = b" \t\r\n\f"


class DataUrlSource:
    """Decodes ``data:[<media type>][;base64],<bytes>``. The media type is ignored: the bytes define the format.

    Args:
        max_bytes: maximum size of an image.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    async def open(self, url: str, can_read: CanRead = allow_all) -> ObjectReader:
        """Decode a data URL, which never redirects.

        Raises:
            BadRequest: the URL has no comma, or its base64 is invalid.
            PayloadTooLarge: the image has more than ``max_bytes``.
        """
        if len(url) <= _MAX_INLINE_BYTES:
            decoded = self._decode_strictly(url)
        else:
            decoded = await asyncio.to_thread(self._decode_strictly, url)
        return await asyncio.to_thread(self._decode, url) if decoded is None else decoded

    async def open_bytes(self, data: bytes) -> ObjectReader:
        """Wrap bytes that came with the request.

        Raises:
            PayloadTooLarge: there are more than ``max_bytes``.
        """
        if len(data) > self._max_bytes:
            raise PayloadTooLarge(f"The image exceeds the limit of {self._max_bytes} bytes.")
        if len(data) <= _MAX_INLINE_BYTES:
            version = content_version(data)
        else:
            version = await asyncio.to_thread(content_version, data)
        return InMemoryObject("data:", version, data)

    def _decode_strictly(self, url: str) -> ObjectReader | None:
        """Decode base64 without escapes and whitespace, which is the usual form; None if it's of another form."""
        comma = url.find(",", 0, _MAX_HEAD_CHARS)
        if comma < 0 or _BASE64.search(url, 0, comma) is None or not url.isascii():
            return None
        encoded = memoryview(url.encode())[comma + 1 :]
        if _decoded_size(encoded) > self._max_bytes:
            return None
        try:
            data = pybase64.b64decode(encoded, validate=True)
        except binascii.Error:
            return None
        return InMemoryObject("data:", content_version(data), data)

    def _decode(self, url: str) -> ObjectReader:
        comma = url.find(",", 0, _MAX_HEAD_CHARS)
        if comma < 0:
            raise BadRequest(
                "The data: URL of an image must have the form data:image/png;base64,…; the comma is missing."
            )
        encoded = _percent_decode(url[comma + 1 :])
        is_base64 = _BASE64.search(url, 0, comma) is not None
        if is_base64:
            encoded = _strip_whitespace(encoded)
        if (_decoded_size(encoded) if is_base64 else len(encoded)) > self._max_bytes:
            raise PayloadTooLarge(f"The image in the data: URL exceeds the limit of {self._max_bytes} bytes.")
        data = _decode_base64(encoded) if is_base64 else encoded
        return InMemoryObject("data:", content_version(data), data)


def _decoded_size(encoded: bytes | memoryview) -> int:
    return len(encoded) // 4 * 3 - bytes(encoded[-2:]).count(b"=")


def _percent_decode(payload: str) -> bytes:
    try:
        octets = payload.encode("ascii")
    except UnicodeEncodeError:  # the exception holds the whole payload, which must not reach a traceback
        raise BadRequest("The data: URL of an image contains characters that aren't ASCII.") from None
    if octets.count(b"%") > _MAX_ESCAPES:
        raise PayloadTooLarge(
            f"The data: URL of an image has more than {_MAX_ESCAPES} percent-encoded bytes. Encode the image in base64."
        )
    return unquote_to_bytes(octets) if b"%" in octets else octets


def _strip_whitespace(encoded: bytes) -> bytes:
    """Remove whitespace; a search for it first is ten times as fast if there is none.

    The pieces let other threads run in between.
    """
    if not any(space in encoded for space in _WHITESPACE):
        return encoded
    pieces = (encoded[start : start + _PIECE_BYTES] for start in range(0, len(encoded), _PIECE_BYTES))
    return b"".join(piece.translate(None, _WHITESPACE) for piece in pieces)


def _decode_base64(encoded: bytes) -> bytes:
    try:
        return pybase64.b64decode(encoded, validate=True)
    except binascii.Error:
        reason = "it is truncated" if len(encoded) % 4 else "it contains invalid characters"
        raise BadRequest(f"The base64 of the image in the data: URL is invalid: {reason}.") from None
