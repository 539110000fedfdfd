"""The directories of a TIFF, read before GDAL parses them: its time grows with the square of the tags of each."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from sarlens.errors import PayloadTooLarge

MAX_DIRECTORIES = 4096
"""Maximum number of images, overviews and masks in a file."""
MAX_TAGS = 512
"""Maximum number of tags of a directory."""
MAX_TOTAL_TAGS = 32 * 1024
"""Maximum number of tags of all directories."""
_SUB_IFDS = 330

Order: TypeAlias = Literal["<", ">"]
ReadAt = Callable[[int, int], bytes]
"""Returns the bytes from an offset on; fewer than the length only at the end of the file."""


class Layout(NamedTuple):
    """Formats of the fields of a directory; those of BigTIFF are wider."""

    order: Order
    """Byte order, as of ``struct``."""
    tag_count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct

    @classmethod
    def of(cls, head: bytes) -> Layout:
        """Return the layout of a file by its first four bytes."""
        order: Order = "<" if head.startswith(b"II") else ">"
        formats = ("Q", "HHQ8s", "Q") if 43 in head[2:4] else ("H", "HHI4s", "I")
        return cls(order, *(struct.Struct(order + text) for text in formats))

    def is_sound(self, head: bytes) -> bool:
        """Return whether the size of offsets that a BigTIFF declares is 8, and its reserved field 0."""
        return self.offset.size != 8 or head[4:8] == struct.pack(f"{self.order}HH", 8, 0)


class Entry(NamedTuple):
    """One tag of a directory."""

    tag: int
    """Number of the tag."""
    type: int
    """Type of its values."""
    values: int
    """Number of its values."""
    value: bytes
    """The values if they fit, else their offset."""


class Directories(NamedTuple):
    """The directories of a file."""

    layout: Layout
    """Formats of the file."""
    entries: tuple[tuple[Entry, ...], ...]
    """Tags of each directory, in the order of the chain."""
    is_whole_chain: bool
    """Whether they form one chain that ends, without subdirectories and damage."""


def read_directories(read_at: ReadAt, name: str) -> Directories:
    """Read all directories, subdirectories included. A damaged directory ends the chain; GDAL rejects it later.

    Raises:
        PayloadTooLarge: the file has too many directories or tags.
    """
    walk = _Walk(read_at)
    directories = total_tags = 0
    for tags in walk.tag_counts():
        directories, total_tags = directories + 1, total_tags + tags
        if directories > MAX_DIRECTORIES or tags > MAX_TAGS or total_tags > MAX_TOTAL_TAGS:
            raise PayloadTooLarge(
                f"{name} has too many TIFF directories or tags: the limits are {MAX_DIRECTORIES} directories, "
                f"{MAX_TAGS} tags each and {MAX_TOTAL_TAGS} in all."
            )
    return Directories(walk.layout, tuple(walk.entries), walk.is_whole_chain)


class _Walk:
    """A walk over the directories, which stops after the number of tags of each."""

    def __init__(self, read_at: ReadAt) -> None:
        self._read_at = read_at
        self._head = read_at(0, 16)
        self.layout = Layout.of(self._head)
        self.entries: list[tuple[Entry, ...]] = []
        self.is_whole_chain = self.layout.is_sound(self._head)

    def tag_counts(self) -> Iterator[int]:
        """Yield the number of tags of each directory once, before its tags are read."""
        layout = self.layout
        start = self._head[8:] if layout.offset.size == 8 else self._head[4:8]
        pending = [layout.offset.unpack(start)[0]] if len(start) == layout.offset.size else []
        seen: set[int] = set()
        while pending:
            offset = pending.pop()
            if not offset:
                continue
            count_bytes = self._read_at(offset, layout.tag_count.size)
            if offset in seen or len(count_bytes) < layout.tag_count.size:
                self.is_whole_chain = False
                continue
            seen.add(offset)
            (tags,) = layout.tag_count.unpack(count_bytes)
            yield tags
            pending += self._read_entries(offset + layout.tag_count.size, tags)

    def _read_entries(self, start: int, tags: int) -> list[int]:
        """Read the tags of a directory, and return the offsets of the directories to which it refers."""
        layout, length = self.layout, tags * self.layout.entry.size
        table = self._read_at(start, length + layout.offset.size)
        whole = min(len(table), length) // layout.entry.size * layout.entry.size
        entries = tuple(map(Entry._make, layout.entry.iter_unpack(table[:whole])))
        self.entries.append(entries)
        following = table[length:]
        found = [layout.offset.unpack(following)[0]] if len(following) == layout.offset.size else []
        self.is_whole_chain &= bool(found)
        for entry in entries:
            if entry.tag == _SUB_IFDS:
                self.is_whole_chain = False
                found += self._offsets(entry)
        return found

    def _offsets(self, entry: Entry) -> list[int]:
        """Return the offsets in a tag, at most one more than the limit of directories."""
        offset = self.layout.offset
        size = offset.size * min(entry.values, MAX_DIRECTORIES + 1)
        values = entry.value[:size] if size <= len(entry.value) else self._read_at(offset.unpack(entry.value)[0], size)
        whole = len(values) // offset.size * offset.size
        return [start for (start,) in offset.iter_unpack(values[:whole])]
