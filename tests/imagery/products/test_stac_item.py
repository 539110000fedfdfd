"""STAC Items as objects of a store: which bytes are an Item, and what is rejected."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from sarlens.errors import PayloadTooLarge, SarlensError, UnsupportedItem
from sarlens.imagery.core.object_reader import InMemoryObject
from sarlens.imagery.products.stac_item import MAX_ITEM_BYTES, read_stac_item
from sarlens.stac import MAX_ASSETS
from support.stac import NAME, S1_ASSETS, item

TIFF = b"II*\0" + bytes(60)


def document(**members: object) -> bytes:
    """The JSON of an Item with some members replaced."""
    return json.dumps(item(S1_ASSETS) | members).encode()


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b"\n\t "])
def test_an_item_is_recognized_by_its_first_bytes(prefix: bytes) -> None:
    """A byte order mark and whitespace before the JSON object make no difference, nor does the name of the object."""
    parsed = read_stac_item(InMemoryObject("s3://scenes/scene", "v", prefix + document()))
    assert parsed is not None
    assert (parsed.id, list(parsed.assets)) == (NAME, ["vv", "vh", "thumbnail"])


@pytest.mark.parametrize("data", [TIFF, b"\x89PNG\r\n\x1a\n", b"", b"[1]"])
def test_bytes_of_an_image_are_no_item(data: bytes) -> None:
    """An object that doesn't begin with a brace is left to the image decoders."""
    assert read_stac_item(InMemoryObject("s3://scenes/a", "v", data)) is None


@pytest.mark.parametrize(
    ("data", "error_cls", "reason"),
    [
        (b"{", UnsupportedItem, "isn't valid JSON"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, UnsupportedItem, "nested too deeply"),
        (b'{"type": "Point", "coordinates": [0, 0]}', UnsupportedItem, "isn't a STAC Item: type"),
        (b'{"type": "Feature", "geometry": null, "properties": {}}', UnsupportedItem, "stac_version: Field required"),
        (document(type="Collection"), UnsupportedItem, "isn't a STAC Item: type"),
        (document(assets=[1]), UnsupportedItem, "isn't a STAC Item: assets"),
        (document(assets={"a": {"href": ""}}), UnsupportedItem, "isn't a STAC Item: assets.a.href"),
        (
            json.dumps(item({str(index): "a" for index in range(MAX_ASSETS + 1)})).encode(),
            UnsupportedItem,
            "assets: there are 1001 elements; the limit is 1000",
        ),
        (
            b"{" + b" " * MAX_ITEM_BYTES + b"}",
            PayloadTooLarge,
            f"has {MAX_ITEM_BYTES + 2} bytes; the limit for a STAC Item is 1048576",
        ),
    ],
)
def test_other_json_is_rejected(data: bytes, error_cls: type[SarlensError], reason: str) -> None:
    """Broken, deep, large and other JSON objects are rejected with the field that is wrong."""
    with pytest.raises(error_cls, match=reason):
        read_stac_item(InMemoryObject("s3://scenes/item.json", "v", data))


@dataclass
class HugeObject:
    """An object of 1 TiB that begins as an Item does."""

    name: str = "s3://scenes/huge.json"
    version: str = "v"
    size: int = 2**40
    bytes_fetched: int = 0
    fetch_seconds: float = 0.0

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the beginning."""
        self.bytes_fetched += length
        return b'{"type": "Feature"'[start : start + length]


def test_a_large_object_is_rejected_by_its_size() -> None:
    """Of an object that begins as an Item and is too large for one, 64 bytes are read."""
    huge = HugeObject()
    with pytest.raises(PayloadTooLarge):
        read_stac_item(huge)
    assert huge.bytes_fetched == 64
