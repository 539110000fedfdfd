"""Values of the tags of one TIFF directory, as far as a plain TIFF has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sarlens.imagery.formats.tiff_directories import Directories, Entry, ReadAt

_ASCII = 2
_INTEGER_TYPES = MappingProxyType({3: "u2", 4: "u4", 16: "u8"})
_MAX_VALUES = 1024
"""Maximum number of values of a tag other than the tables of tiles."""
_MAX_TEXT_BYTES = 2**20
_MARKUP = re.compile("&([a-z]+;)?")
_ENTITIES = MappingProxyType({"lt;": "<", "gt;": ">", "amp;": "&", "apos;": "'", "quot;": '"'})
_ITEM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


class NotPlain(Exception):
    """The TIFF has something that only GDAL reads."""


class Tags:
    """Tags of one directory; each value is read when it is requested.

    Raises:
        NotPlain: tags are repeated or not sorted. All methods raise it for a value of another type or a damaged one.
    """

    def __init__(self, directories: Directories, index: int, read_at: ReadAt) -> None:
        self._layout = directories.layout
        self._read_at = read_at
        self._entries = {entry.tag: entry for entry in directories.entries[index]}
        if [entry.tag for entry in directories.entries[index]] != sorted(self._entries):
            raise NotPlain

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of the tags."""
        return frozenset(self._entries)

    def integer(self, tag: int, default: int | None = None) -> int:
        """Return the one value of a tag; a tag with a value for each sample has equal ones."""
        values = set(self.integers(tag, () if default is None else (default,)))
        if len(values) != 1:
            raise NotPlain
        return values.pop()

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return the values of a tag."""
        if tag not in self._entries:
            return default
        if self.count(tag) > _MAX_VALUES:
            raise NotPlain
        return tuple(self.slice(tag, 0, self.count(tag)))

    def count(self, tag: int) -> int:
        """Return the number of values of a tag, 0 if it doesn't exist."""
        return self._entries[tag].values if tag in self._entries else 0

    def slice(self, tag: int, start: int, stop: int) -> list[int]:
        """Return some values of an existing tag."""
        entry = self._entries[tag]
        if entry.type not in _INTEGER_TYPES:
            raise NotPlain
        dtype = np.dtype(self._layout.order + _INTEGER_TYPES[entry.type])
        values: list[int] = np.frombuffer(self._bytes(entry, dtype.itemsize, start, stop), dtype).tolist()
        return values

    def text(self, tag: int) -> str:
        """Return an ASCII text, empty if it doesn't exist."""
        if tag not in self._entries:
            return ""
        entry = self._entries[tag]
        if entry.type != _ASCII or entry.values > _MAX_TEXT_BYTES:
            raise NotPlain
        text = self._bytes(entry, 1, 0, entry.values).partition(b"\0")[0]
        if not text.isascii():
            raise NotPlain
        return text.decode()

    def _bytes(self, entry: Entry, size: int, start: int, stop: int) -> bytes:
        if entry.values * size <= len(entry.value):
            found = entry.value[start * size : stop * size]
        else:
            offset: int = self._layout.offset.unpack(entry.value)[0]
            found = self._read_at(offset + start * size, (stop - start) * size)
        if len(found) != (stop - start) * size:
            raise NotPlain
        return found


class GdalMetadata(NamedTuple):
    """Metadata of the tag GDAL_METADATA."""

    tags: Mapping[str, str]
    """Items of the image."""
    band_tags: tuple[dict[str, str], ...]
    """Items of each band."""
    descriptions: tuple[str | None, ...]
    """Description of each band."""


def parse_gdal_metadata(text: str, bands: int) -> GdalMetadata:
    """Parse items that only describe. A scale, an offset, a color or an item of a domain isn't plain.

    Raises:
        NotPlain: the XML has anything else.
    """
    tags: dict[str, str] = {}
    band_tags: tuple[dict[str, str], ...] = tuple({} for _ in range(bands))
    descriptions: list[str | None] = [None] * bands
    for item in _items(text):
        name, role = item.get("name", ""), item.get("role")
        sample = item.get("sample")
        if not _ITEM_NAME.fullmatch(name) or name.upper().startswith("TIFFTAG_"):
            raise NotPlain
        if sample is not None and not (sample.isascii() and sample.isdigit() and int(sample[:9]) < bands):
            raise NotPlain
        if role == "description" and sample is not None and descriptions[int(sample)] is None:
            descriptions[int(sample)] = _unescape(item.text or "")
            continue
        target = tags if sample is None else band_tags[int(sample)]
        if role is not None or name.upper() in map(str.upper, target):
            raise NotPlain
        target[name] = _unescape(item.text or "")
    return GdalMetadata(tags, band_tags, tuple(descriptions))


def _items(text: str) -> list[Element]:
    """Return the elements ``Item``, which have a text and known attributes."""
    if not text:
        return []
    try:
        root = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise NotPlain from None
    items = list(root)
    texts = [root.text, *(item.tail for item in items)]
    is_plain = root.tag == "GDALMetadata" and not any((between or "").strip() for between in texts)
    if not is_plain or any(
        item.tag != "Item" or len(item) or not set(item.keys()) <= {"name", "sample", "role"} for item in items
    ):
        raise NotPlain
    return items


def _unescape(text: str) -> str:
    """Replace the five entities of XML: GDAL escapes texts twice. GDAL drops empty texts, and spaces before a text."""
    if not text or text != text.strip() or not text.isascii() or any(mark < " " for mark in text):
        raise NotPlain
    entities = _MARKUP.findall(text)
    if any(entity not in _ENTITIES for entity in entities):
        raise NotPlain
    return _MARKUP.sub(lambda match: _ENTITIES[match[1]], text)
