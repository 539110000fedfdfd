"""The central directory of a ZIP archive of one Sentinel-1 product, read by ranges.

Source: PKWARE, .ZIP File Format Specification (APPNOTE) 6.3, sections 4.3.7, 4.3.12 and 4.5.3 (Zip64).
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from sarlens.errors import UnsupportedImage
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.products.sentinel1_safe import MANIFEST

LOCAL_HEADER_BYTES = 30
"""Fixed part of the header in front of a member's bytes."""
_MAX_READ_BYTES = 256 * 1024
"""Limit of the directory, which holds about 200 bytes per member; products have fewer than 100 members."""
_ZIP_URL = re.compile(r"(?:s3|https)://[^?#]+\.zip(?:\?[^#]*)?", re.IGNORECASE)
_ROOT = re.compile(rf"([^/?#%]+(?i:\.SAFE)/){re.escape(MANIFEST)}")
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^/|//|(?:^|/)\.\.?(?:/|$)|.{513}")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipEntry(NamedTuple):
    """A member of an archive."""

    raw_name: bytes
    """Name as the archive stores it."""
    header_offset: int
    """Position of its local header."""
    stop: int
    """Position of the next header, or of the directory: its bytes end before."""
    stored_bytes: int
    """Length in the archive."""
    size: int
    """Length of its content."""
    crc: int
    """CRC-32 of its content."""
    deflated: bool
    """Whether it is compressed."""


@dataclass(frozen=True, slots=True)
class ZipDirectory:
    """The files of the product in an archive."""

    root: str
    """Name of the product's folder, with a slash at the end."""
    entries: dict[str, ZipEntry]
    """Members by their path in the folder."""


def is_zip_url(url: str) -> bool:
    """Whether the path of an ``s3:`` or ``https:`` URL ends in ``.zip``."""
    return _ZIP_URL.fullmatch(url) is not None


def read_zip_directory(reader: ObjectReader) -> ZipDirectory:
    """Read and check the central directory. Blocks.

    Raises:
        UnsupportedImage: the object isn't a ZIP archive of one product, or its directory is inconsistent: a name that
            leaves the archive or occurs twice, members that overlap, sizes that can't be true.
        SarlensError: the object can't be read.
    """
    try:
        with zipfile.ZipFile(_DirectoryFile(reader)) as archive:
            infos, directory_start = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, ValueError, struct.error, OverflowError, EOFError, RuntimeError):
        raise UnsupportedImage(f"{reader.name} isn't a valid ZIP archive of a Sentinel-1 product.") from None
    _check_names(reader.name, infos)
    roots = [match[1] for info in infos if (match := _ROOT.fullmatch(info.filename))]
    if len(roots) != 1:
        raise UnsupportedImage(
            f"{reader.name} must contain one Sentinel-1 product, NAME.SAFE/{MANIFEST}; it contains {len(roots)}."
        )
    infos.sort(key=lambda info: info.header_offset)
    stops = [*(info.header_offset for info in infos[1:]), directory_start]
    entries = {
        info.filename.removeprefix(roots[0]): _entry(reader.name, info, stop)
        for info, stop in zip(infos, stops, strict=True)
        if info.filename.startswith(roots[0]) and not info.is_dir()
    }
    return ZipDirectory(roots[0], entries)


def _check_names(archive: str, infos: Sequence[zipfile.ZipInfo]) -> None:
    if any(_UNSAFE_NAME.search(info.orig_filename) for info in infos):
        raise UnsupportedImage(f"{archive} has a member whose name isn't a relative path of at most 512 characters.")
    if len({info.filename for info in infos}) < len(infos):
        raise UnsupportedImage(f"{archive} has two members of the same name.")
    spans = sorted((info.header_offset, info.header_offset + _least_bytes(info)) for info in infos)
    if spans and (spans[0][0] < 0 or any(one[1] > next_[0] for one, next_ in pairwise(spans))):
        raise UnsupportedImage(f"{archive} has members that overlap.")


def _least_bytes(info: zipfile.ZipInfo) -> int:
    """Bytes that a member takes at least: its header, its name and its data."""
    return LOCAL_HEADER_BYTES + len(_raw_name(info)) + info.compress_size


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _entry(archive: str, info: zipfile.ZipInfo, stop: int) -> ZipEntry:
    name = f"{archive}/{info.filename}"
    if info.flag_bits & _ENCRYPTED:
        raise UnsupportedImage(f"{name} is encrypted.")
    if info.compress_type not in _METHODS:
        raise UnsupportedImage(f"{name} is compressed by a method other than deflate, which isn't supported.")
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    if info.header_offset + _least_bytes(info) > stop or not (deflated or info.file_size == info.compress_size):
        raise UnsupportedImage(f"{name} has a size that can't be true.")
    return ZipEntry(_raw_name(info), info.header_offset, stop, info.compress_size, info.file_size, info.CRC, deflated)


class _DirectoryFile:
    """The part of a file that ``zipfile`` needs to read a directory; each read is bounded before it allocates."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._position = 0

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` bytes from the start or the end; raises ValueError before the start."""
        position = offset + (self._reader.size if whence == io.SEEK_END else 0)
        if position < 0:
            raise ValueError("position before the start")
        self._position = position
        return position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        Raises:
            UnsupportedImage: more than 256 KiB are asked for.
        """
        rest = max(0, self._reader.size - self._position)
        length = rest if size < 0 else min(size, rest)
        if length > _MAX_READ_BYTES:
            raise UnsupportedImage(
                f"{self._reader.name} has a directory of more than {_MAX_READ_BYTES} bytes; "
                "a Sentinel-1 product has fewer than 100 files."
            )
        data = self._reader.read(self._position, length)
        self._position += len(data)
        return data
