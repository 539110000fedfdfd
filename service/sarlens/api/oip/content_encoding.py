"""Compressed request bodies, as Triton's clients send them on request."""

from __future__ import annotations

import asyncio
import zlib

from sarlens.admission.body_memory import MemoryReservation
from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.json_input import Document

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Formats by the name in ``Content-Encoding``: RFC 1952, and RFC 1950 under the name that HTTP gives it."""
_STEP_BYTES = 2**20
"""Size of a decompressed part; it takes a thread a few milliseconds."""


async def decode_body(body: Document, encoding: str, max_bytes: int, reservation: MemoryReservation) -> Document:
    """Return a body without its compression; ``reservation`` grows with the bytes, in addition to the compressed ones.

    Args:
        body: the body as the client sent it.
        encoding: value of ``Content-Encoding``, or ``identity``.
        max_bytes: maximum size of the result.
        reservation: the memory of the request.

    Raises:
        BadRequest: the encoding isn't supported, or the body isn't in it.
        PayloadTooLarge: the result has more than ``max_bytes`` bytes.
        Overloaded: the bodies of other requests use the memory.
    """
    if encoding == "identity":
        return body
    if encoding not in _WINDOW_BITS:
        raise BadRequest("Content-Encoding must be gzip, deflate or identity.")
    decoder = zlib.decompressobj(_WINDOW_BITS[encoding])
    decoded, rest = bytearray(), bytes(body)
    compressed = reservation.size
    while not decoder.eof:
        try:
            part = await asyncio.to_thread(decoder.decompress, rest, _STEP_BYTES)
        except zlib.error:
            raise BadRequest(f"The body isn't in the encoding {encoding}.") from None
        rest = decoder.unconsumed_tail
        if not part and not rest and not decoder.eof:
            raise BadRequest(f"The body in the encoding {encoding} ends too early.")
        if len(decoded) + len(part) > max_bytes:
            raise PayloadTooLarge(f"The decompressed body exceeds the limit of {max_bytes} bytes.")
        reservation.extend_to(compressed + len(decoded) + len(part))
        decoded += part
    if decoder.unused_data:
        raise BadRequest(f"The body has bytes after the end of its encoding {encoding}.")
    return decoded
