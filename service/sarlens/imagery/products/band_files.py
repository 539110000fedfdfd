"""Images with one file per band: the files by band, and the check that they share a grid."""

from __future__ import annotations

from collections.abc import Sequence

from sarlens.errors import BadRequest, UnsupportedImage
from sarlens.imagery.core.bands import Bands, polarizations
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.products.file_headers import FileHeaders
from sarlens.types.render_params import RenderParams

_MAX_CACHED = 4096
"""Versions of files whose header was read, and pairs of them that share a grid."""


class BandFiles:
    """Names the band of each file, and checks that files share a grid; each version of a file is checked once."""

    def __init__(self, threads: ImageThreads, headers: FileHeaders) -> None:
        self._threads = threads
        self._headers = headers
        self._names: LRUCache[str, tuple[str, ...]] = LRUCache(_MAX_CACHED, getsizeof=lambda _: 1)
        self._checked: LRUCache[tuple[str, str], bool] = LRUCache(_MAX_CACHED, getsizeof=lambda _: 1)

    def check_render(self, render: RenderParams) -> None:
        """Raise BadRequest if render parameters suit only STAC Items or products."""
        for name in ("asset", "swath"):
            if getattr(render, name) is not None:
                raise BadRequest(f"An image of several URLs has no {name}s.", param=f"sar.{name}")

    async def bands(self, readers: Sequence[ObjectReader]) -> Bands:
        """Return one band for each file: the polarization in its name, such as ``…_VV.tif``, else in its header.

        Raises:
            UnsupportedImage: a file has several bands.
            SarlensError: a header can't be read.
        """
        return Bands.named([await self._band_names(reader) for reader in readers])

    async def _band_names(self, reader: ObjectReader) -> tuple[str, ...]:
        names = self._names.get(reader.version)
        if names is None:
            names = await self._threads.run(reader, self._headers.band_names, reader)
            self._names.put(reader.version, names)
        if len(names) > 1:
            raise UnsupportedImage(f"{reader.name} has {len(names)} bands. Each of several URLs must have one band.")
        of_name = polarizations(reader.name.rpartition("/")[2])[-1:]
        return tuple(of_name or polarizations(names[0])[:1])

    async def check_grid(self, readers: Sequence[ObjectReader]) -> None:
        """Check that files have the same size and the same position, to a tenth of a pixel.

        Raises:
            BadRequest: they haven't.
            SarlensError: a header can't be read.
        """
        first, *others = readers
        for other in others:
            versions = (first.version, other.version)
            if self._checked.get(versions) is None:
                await self._threads.run(other, self._headers.check_same_grid, first, other)
                self._checked.put(versions, True)
