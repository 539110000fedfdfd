"""A member of a ZIP archive as an object of its own."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import TypeAlias

from sarlens.errors import UnsupportedImage
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_task import check_task
from sarlens.imagery.core.object_reader import ObjectReader, RangePrefetcher
from sarlens.imagery.products.zip_directory import LOCAL_HEADER_BYTES, ZipEntry

MAX_INFLATED_BYTES = 32 * 2**20
"""Limit of the content of a compressed member, which is inflated in memory."""
InflatedCache: TypeAlias = LRUCache[str, bytes]
"""Content of deflated members by their version."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"


class ZipMember:
    """One member of one version of an archive; implements ``ObjectReader``.

    A stored member is read by ranges. A deflated one is fetched and inflated whole, unless its content is cached. The
    member doesn't hold its content: a request that waits for an answer takes no memory for it.

    Args:
        archive: the archive, which only this member reads.
        name: URL of the archive and path of the member, safe to show.
        entry: the member in the archive's directory.
        inflated: cache of the content of deflated members.

    Raises:
        UnsupportedImage: the member is compressed and has more than ``MAX_INFLATED_BYTES``.
    """

    def __init__(self, archive: ObjectReader, name: str, entry: ZipEntry, inflated: InflatedCache) -> None:
        if entry.deflated and max(entry.size, entry.stored_bytes) > MAX_INFLATED_BYTES:
            raise UnsupportedImage(
                f"{name} is compressed and has {entry.size} bytes. Only uncompressed members can exceed "
                f"{MAX_INFLATED_BYTES} bytes: unpack the archive and use the URL of the folder, or pack it again "
                "with zip -0 -r."
            )
        self.name = name
        identity = f"{archive.version} {entry.header_offset}"
        self.version = f"zip:{hashlib.sha256(identity.encode()).hexdigest()}"
        self.size = entry.size
        self.archive = archive
        self._entry = entry
        self._data_start: int | None = None
        self._inflated = inflated

    @property
    def bytes_fetched(self) -> int:
        """Bytes of the archive fetched so far."""
        return self.archive.bytes_fetched

    @property
    def fetch_seconds(self) -> float:
        """Seconds that reads have waited for the network so far."""
        return self.archive.fetch_seconds

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on; fewer than ``length`` only at the end. Blocks.

        Raises:
            UnsupportedImage: the member contradicts the directory, or is damaged.
            SarlensError: the archive can't be read.
        """
        length = min(length, self.size - start)
        if length <= 0:
            return b""
        if not self._entry.deflated:
            return self.archive.read(self._start() + start, length)
        content = self._inflated.get(self.version)
        if content is None:
            content = self._inflate()
            self._inflated.put(self.version, content)
        return content[start : start + length]

    def prefetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Fetch spans (start, stop) of a stored member into the archive's cache; raises as ``read``."""
        if isinstance(self.archive, RangePrefetcher) and not self._entry.deflated:
            offset = self._start()
            self.archive.prefetch([(offset + start, offset + min(stop, self.size)) for start, stop in spans])

    def _start(self) -> int:
        """Position of the member's bytes, from its local header, which must agree with the directory."""
        if self._data_start is None:
            entry = self._entry
            name_at = LOCAL_HEADER_BYTES
            header = self.archive.read(entry.header_offset, name_at + len(entry.raw_name))
            if len(header) < name_at or header[name_at:] != entry.raw_name:
                raise self._contradiction()
            signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(header)
            start = entry.header_offset + name_at + name_bytes + extra_bytes
            fits = start + entry.stored_bytes <= entry.stop
            if signature != _SIGNATURE or name_bytes != len(entry.raw_name) or not fits:
                raise self._contradiction()
            self._data_start = start
        return self._data_start

    def _contradiction(self) -> UnsupportedImage:
        return UnsupportedImage(f"{self.name} can't be read: its header contradicts the directory of the archive.")

    def _inflate(self) -> bytes:
        """The content; never more than one byte above the size that the directory states."""
        entry, inflater = self._entry, zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(self.archive.read(self._start(), entry.stored_bytes), entry.size + 1)
        except zlib.error:
            content = b""
        check_task()
        if len(content) != entry.size or not inflater.eof or zlib.crc32(content) != entry.crc:
            raise UnsupportedImage(f"{self.name} can't be read: its content contradicts the directory of the archive.")
        return content
