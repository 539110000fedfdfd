"""STAC Items as they lie in stores: found out by what they begin with, read within bounds."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from sarlens.errors import TooLarge, UnsupportedItem
from sarlens.imagery.blob import Blob
from sarlens.stac import Item

MOST_BYTES = 2**20
_LOOK = 64
_BLANK = b"\xef\xbb\xbf \t\r\n"


def read_item(blob: Blob) -> Item | None:
    """The Item that an object is, or None where it is no JSON object, as an image never is. Blocks.

    Raises:
        TooLarge: it has more than 1 MiB.
        UnsupportedItem: it is JSON, but no Item that can be used.
        SarlensError: whatever reading the blob raises.
    """
    if not blob.read(0, min(_LOOK, blob.size)).lstrip(_BLANK).startswith(b"{"):
        return None
    if blob.size > MOST_BYTES:
        raise TooLarge(f"{blob.name} has {blob.size} bytes; a STAC Item may have {MOST_BYTES}.")
    try:
        document = orjson.loads(blob.read(0, blob.size).lstrip(_BLANK))
    except orjson.JSONDecodeError:
        raise UnsupportedItem(f"{blob.name} begins like JSON, but is none, or is nested too deeply.") from None
    try:
        return Item.model_validate(document)
    except ValidationError as error:
        raise UnsupportedItem(f"{blob.name} is JSON, but no STAC Item: {_complaint(error)}.") from None


def _complaint(error: ValidationError) -> str:
    """The first thing that is wrong with an Item, without what stands there."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(step)[:64] for step in first['loc'])}: {first['msg']}"
