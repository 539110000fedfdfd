"""From a place to the files that an image consists of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from typing import TypeAlias

from sarlens.errors import BadRequest, CalibrationMissing, ImageNotFound
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.original import Annotation, Measurement, Original
from sarlens.imagery.safe import MANIFEST, Product, annotation_places, product_folder, read_manifest
from sarlens.imagery.source import Blob
from sarlens.request import Render

Open: TypeAlias = Callable[[str | bytes], Awaitable[Blob]]
"""Opens the file at a place."""

_REMEMBERED = 4096
"""Measurements of products whose manifests have been read."""


class Archive:
    """Opens images: a file, or those of a product that the bands mean, with the annotation that calibrates them."""

    def __init__(self, open_blob: Open, threads: Executor) -> None:
        self._open = open_blob
        self._threads = threads
        self._products: ByteLRU[tuple[str, str], Product] = ByteLRU(
            _REMEMBERED, weigh=lambda each: len(each.measurements)
        )

    async def open(self, place: str | bytes, blob: Blob | None, render: Render) -> Original:
        """Open what a rendering of an image reads; ``blob`` is the file at its place, None where that is a product.

        Raises:
            BadRequest: the product has no such swath, or the image is no product and has none.
            BandMissing: the product has no such polarisation.
            CalibrationMissing: the annotation is wanted and not there.
            SarlensError: the image cannot be had.
        """
        if blob is None:
            return await self._open_product(product_folder(str(place)) or "", render)
        if render.swath is not None:
            raise BadRequest("Only a Sentinel-1 product in SAFE layout has swaths to choose from.", param="sar.swath")
        return Original(blob.name, (Measurement(blob, None, await self._annotation(place, render)),))

    async def _open_product(self, folder: str, render: Render) -> Original:
        product = await self._product(folder)
        chosen = product.pick(render.swath, render.bands)
        found = (self._measurement(folder, each.paths, each.band, render) for each in chosen)
        return Original(product.name, tuple(await asyncio.gather(*found)))

    async def _product(self, folder: str) -> Product:
        """What the manifest says, read once for each version of it."""
        manifest = await self._open(folder + MANIFEST)
        key = (manifest.name, manifest.version)
        product = self._products.get(key)
        if product is None:
            loop = asyncio.get_running_loop()
            name = manifest.name.removesuffix(MANIFEST)
            product = await loop.run_in_executor(self._threads, read_manifest, manifest, name)
            self._products.put(key, product)
        return product

    async def _measurement(self, folder: str, paths: Iterable[str], band: str, render: Render) -> Measurement:
        urls = tuple(folder + path for path in paths)
        found = await self._first(urls)
        if found is None:
            raise ImageNotFound(f"{urls[0]} is not there, though the manifest of its product lists it.")
        url, blob = found
        return Measurement(blob, band, await self._annotation(url, render))

    async def _annotation(self, place: str | bytes, render: Render) -> Annotation | None:
        """The annotation beside a measurement, where it is wanted and the image has a place for it."""
        wanted = render.calibration != "none" and isinstance(place, str)
        places = annotation_places(str(place)) if wanted else None
        return places and Annotation(*(await asyncio.gather(*map(self._beside, places))))

    async def _beside(self, urls: tuple[str, ...]) -> Blob:
        found = await self._first(urls)
        if found is None:
            raise CalibrationMissing(f"The annotation {urls[0]} is not there, so the image cannot be calibrated.")
        return found[1]

    async def _first(self, urls: Iterable[str]) -> tuple[str, Blob] | None:
        """The first that is there."""
        for url in urls:
            try:
                return url, await self._open(url)
            except ImageNotFound:
                continue
        return None
