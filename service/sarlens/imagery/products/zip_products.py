"""Sentinel-1 products inside ZIP archives: their files, opened like those of a folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from sarlens.errors import ImageNotFound, SourceChanged
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import InMemoryObject, ObjectReader
from sarlens.imagery.products.zip_directory import ZipDirectory, read_zip_directory
from sarlens.imagery.products.zip_member import InflatedCache, ZipMember
from sarlens.types.caller import CanRead

OpenObject: TypeAlias = Callable[[str | bytes, CanRead], Awaitable[ObjectReader]]
"""Opens the object at a URL, or bytes, with the rights of a caller."""
OpenFile: TypeAlias = Callable[[str], Awaitable[ObjectReader]]
"""Opens a file of a product by its URL; raises ImageNotFound if it doesn't exist."""

_MAX_INFLATED_BYTES = 128 * 2**20
"""Content of deflated members in memory."""
_MAX_CACHED_MEMBERS = 16_384
"""Members of cached directories."""


class ZipProduct(NamedTuple):
    """A product in an archive."""

    archive: ObjectReader
    """The archive."""
    folder: str
    """URL of the archive, then the product's folder, with a slash at the end."""
    open_file: OpenFile
    """Opens the files of the folder."""


class ZipProducts:
    """Opens archives. The directory of each version is read once; deflated members share 128 MiB."""

    def __init__(self, open_object: OpenObject, threads: ImageThreads) -> None:
        self._open_object = open_object
        self._threads = threads
        self._directories: LRUCache[str, ZipDirectory] = LRUCache(
            _MAX_CACHED_MEMBERS, getsizeof=lambda directory: len(directory.entries)
        )
        self._inflated: InflatedCache = LRUCache(_MAX_INFLATED_BYTES, getsizeof=len)

    async def open(self, url: str, can_read: CanRead) -> ZipProduct:
        """Open the product in the archive at a URL.

        Raises:
            UnsupportedImage: as ``read_zip_directory``.
            SarlensError: the archive can't be opened or read.
        """
        archive = await self._open_object(url, can_read)
        directory = self._directories.get(archive.version)
        if directory is None:
            directory = await self._threads.run(archive, read_zip_directory, archive)
            self._directories.put(archive.version, directory)
        folder = f"{url.partition('?')[0]}/{directory.root}"

        async def open_file(file_url: str) -> ObjectReader:
            entry = directory.entries.get(file_url.removeprefix(folder))
            if entry is None:
                raise ImageNotFound(f"{file_url} doesn't exist.")
            if isinstance(archive, InMemoryObject):
                return ZipMember(replace(archive, bytes_fetched=0), file_url, entry, self._inflated)
            own_reader = await self._open_object(url, can_read)
            if own_reader.version != archive.version:
                raise SourceChanged(f"{archive.name} can't be read: it changed while the gateway read it.")
            return ZipMember(own_reader, file_url, entry, self._inflated)

        return ZipProduct(archive, folder, open_file)
