"""Read STAC Items from objects, which are recognized by their first bytes."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from sarlens.errors import PayloadTooLarge, UnsupportedItem
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.stac import Item
from sarlens.validation import InvalidField

MAX_ITEM_BYTES = 2**20
_SNIFF_BYTES = 64
_BLANK = b"\xef\xbb\xbf \t\r\n"
"""Byte order mark and whitespace that can precede a JSON object."""


def read_stac_item(reader: ObjectReader) -> Item | None:
    """Parse an object as a STAC Item; None if it isn't a JSON object, such as an image. Blocks.

    Raises:
        PayloadTooLarge: the object has more than 1 MiB.
        UnsupportedItem: the object is JSON, but not a valid Item.
        SarlensError: the object can't be read.
    """
    if not reader.read(0, min(_SNIFF_BYTES, reader.size)).lstrip(_BLANK).startswith(b"{"):
        return None
    if reader.size > MAX_ITEM_BYTES:
        raise PayloadTooLarge(f"{reader.name} has {reader.size} bytes; the limit for a STAC Item is {MAX_ITEM_BYTES}.")
    try:
        document = orjson.loads(reader.read(0, reader.size).lstrip(_BLANK))
    except orjson.JSONDecodeError:
        raise UnsupportedItem(f"{reader.name} isn't valid JSON, or is nested too deeply.") from None
    try:
        return Item.model_validate(document)
    except ValidationError as error:
        invalid = InvalidField.first(error)
        raise UnsupportedItem(f"{reader.name} isn't a STAC Item: {invalid.describe('the document')}.") from None
