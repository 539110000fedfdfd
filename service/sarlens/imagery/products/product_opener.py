"""Open the files of an image: one object, or the measurements and annotation of a Sentinel-1 product."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from sarlens.errors import BadRequest, CalibrationMissing, ImageNotFound
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.core.source_image import Annotation, Measurement, NoiseAnnotation, SourceImage
from sarlens.imagery.products.sentinel1_safe import (
    MANIFEST,
    SafeProduct,
    annotation_urls,
    parse_safe_url,
    read_manifest,
)
from sarlens.types.caller import CanRead
from sarlens.types.render_params import RenderParams

OpenObject: TypeAlias = Callable[[str | bytes, CanRead], Awaitable[ObjectReader]]
"""Opens the object at a URL, or bytes, with the rights of a caller."""

_KEEP_NOISE = ' Use "noise": "keep" to calibrate without removing the noise.'
"""Advice if a file is missing that only the removal of the noise needs."""
_MAX_CACHED_MEASUREMENTS = 4096
"""Measurements of cached manifests."""


class ProductOpener:
    """Opens a file, or the measurements of a product that the bands select, with their annotation."""

    def __init__(self, open_object: OpenObject, threads: ImageThreads) -> None:
        self._open_object = open_object
        self._threads = threads
        self._products: LRUCache[tuple[str, str], SafeProduct] = LRUCache(
            _MAX_CACHED_MEASUREMENTS, getsizeof=lambda product: len(product.measurements)
        )

    async def open(
        self,
        location: str | bytes,
        reader: ObjectReader | None,
        render: RenderParams,
        can_read: CanRead,
        *,
        any_swath: bool = False,
    ) -> SourceImage:
        """Open the files that a rendering reads.

        Args:
            location: URL of a file or a product, or the image's bytes.
            reader: the opened object at that location, or None if the location is a product.
            render: bands, swath and calibration.
            can_read: rights of the caller.
            any_swath: whether the first swath is opened if a product has several and none is named.

        Raises:
            BadRequest: the product has no such swath, or a swath is named and the image isn't a product.
            BandNotFound: the product has no such polarization.
            CalibrationMissing: calibration is requested, and the annotation doesn't exist.
            SarlensError: the image can't be opened.
        """
        if reader is None:
            return await self._open_product(str(location), render, can_read, any_swath=any_swath)
        if render.swath is not None:
            raise BadRequest("Only Sentinel-1 products in SAFE layout have swaths.", param="sar.swath")
        measurement = Measurement(reader, None, await self._annotation(location, render, can_read))
        return SourceImage(reader.name, (measurement,), location)

    async def _open_product(
        self, location: str, render: RenderParams, can_read: CanRead, *, any_swath: bool
    ) -> SourceImage:
        folder = parse_safe_url(location) or ""
        manifest = await self._open_object(folder + MANIFEST, can_read)
        product = await self._product(manifest)
        entries = product.select(render.swath, render.bands, any_swath=any_swath)
        measurements = (self._measurement(folder, entry.paths, entry.band, render, can_read) for entry in entries)
        return SourceImage(
            product.name,
            tuple(await asyncio.gather(*measurements)),
            location,
            (manifest,),
            swath=entries[0].swath,
            swaths=product.swaths,
            orbit_direction=product.orbit_direction,
            polarizations=product.polarizations(entries[0].swath),
        )

    async def _product(self, manifest: ObjectReader) -> SafeProduct:
        """Parse a manifest; each version is parsed once."""
        key = (manifest.name, manifest.version)
        product = self._products.get(key)
        if product is None:
            folder = manifest.name.removesuffix(MANIFEST)
            product = await self._threads.run(manifest, read_manifest, manifest, folder)
            self._products.put(key, product)
        return product

    async def _measurement(
        self, folder: str, paths: Iterable[str], band: str, render: RenderParams, can_read: CanRead
    ) -> Measurement:
        urls = tuple(folder + path for path in paths)
        opened = await self._open_first(urls, can_read)
        if opened is None:
            raise ImageNotFound(f"The manifest of the product lists {urls[0]}, which doesn't exist.")
        url, reader = opened
        return Measurement(reader, band, await self._annotation(url, render, can_read))

    async def _annotation(self, location: str | bytes, render: RenderParams, can_read: CanRead) -> Annotation | None:
        """Open the annotation of a measurement, if calibration is requested and the URL is in a product."""
        calibrated = render.calibration != "none" and isinstance(location, str)
        urls = annotation_urls(str(location)) if calibrated else None
        if urls is None:
            return None
        if not render.removes_noise:
            return Annotation(await self._open_annotation(urls.calibration, can_read))
        calibration, *noise = await asyncio.gather(
            self._open_annotation(urls.calibration, can_read),
            *(self._open_annotation(files, can_read, _KEEP_NOISE) for files in (urls.noise, urls.product)),
        )
        return Annotation(calibration, NoiseAnnotation(*noise))

    async def _open_annotation(self, urls: tuple[str, ...], can_read: CanRead, advice: str = "") -> ObjectReader:
        opened = await self._open_first(urls, can_read)
        if opened is None:
            raise CalibrationMissing(f"The image can't be calibrated: its annotation {urls[0]} doesn't exist.{advice}")
        return opened[1]

    async def _open_first(self, urls: Iterable[str], can_read: CanRead) -> tuple[str, ObjectReader] | None:
        """The first of these objects that exists, with its URL."""
        for url in urls:
            try:
                return url, await self._open_object(url, can_read)
            except ImageNotFound:
                continue
        return None
