"""Open the files of an image: one object, or the measurements and annotation of a Sentinel-1 product."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sarlens.errors import BadRequest, CalibrationMissing, ImageNotFound, UnsupportedImage
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.core.source_image import Annotation, Measurement, NoiseAnnotation, SourceImage
from sarlens.imagery.products.burst_files import KEEP_BURSTS, BurstFiles
from sarlens.imagery.products.file_headers import FileHeaders
from sarlens.imagery.products.sentinel1_safe import (
    MANIFEST,
    SafeProduct,
    annotation_urls,
    has_bursts,
    parse_safe_url,
    read_looks,
    read_manifest,
)
from sarlens.imagery.products.zip_directory import is_zip_url
from sarlens.imagery.products.zip_products import OpenFile, OpenObject, ZipProducts
from sarlens.types.caller import CanRead
from sarlens.types.render_params import RenderParams

_KEEP_NOISE = ' Use "noise": "keep" to calibrate without removing the noise.'
"""Advice if a file is missing that only the removal of the noise needs."""
_MAX_CACHED_MEASUREMENTS = 4096
"""Measurements of cached manifests."""


def is_product_url(url: str) -> bool:
    """Whether a URL names a product: a folder in SAFE layout, its manifest, or a ZIP archive of it."""
    return parse_safe_url(url) is not None or is_zip_url(url)


class ProductOpener:
    """Opens a file, or the measurements of a product that the bands select, with their annotation."""

    def __init__(self, open_object: OpenObject, threads: ImageThreads, headers: FileHeaders) -> None:
        self._open_object = open_object
        self._threads = threads
        self._bursts = BurstFiles(threads, headers)
        self._zip_products = ZipProducts(open_object, threads)
        self._looks: LRUCache[str, tuple[tuple[int, int] | None]] = LRUCache(
            _MAX_CACHED_MEASUREMENTS, getsizeof=lambda _: 1
        )
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
        open_file = self._opens_files(can_read)
        measurement = Measurement(reader, None, await self._annotation(location, render, open_file))
        return SourceImage(reader.name, (measurement,), location)

    def _opens_files(self, can_read: CanRead) -> OpenFile:
        return lambda url: self._open_object(url, can_read)

    async def _open_product(
        self, location: str, render: RenderParams, can_read: CanRead, *, any_swath: bool
    ) -> SourceImage:
        archives, folder, open_file = await self._open_folder(location, can_read)
        manifest = await open_file(folder + MANIFEST)
        product = await self._product(manifest)
        entries = product.select(render.swath, render.bands, any_swath=any_swath)
        measurements = (self._measurement(folder, entry.paths, entry.band, render, open_file) for entry in entries)
        return SourceImage(
            product.name,
            tuple(await asyncio.gather(*measurements)),
            location,
            (*archives, manifest),
            swath=entries[0].swath,
            swaths=product.swaths,
            orbit_direction=product.orbit_direction,
            polarizations=product.polarizations(entries[0].swath),
        )

    async def looks(self, source_image: SourceImage, can_read: CanRead) -> tuple[int, int] | None:
        """Read the looks in range and azimuth of a product's image from its annotation; None if that has none.

        Raises:
            SarlensError: a file can't be read.
        """
        location = source_image.location
        if not isinstance(location, str) or source_image.swath is None:
            return None
        _, folder, open_file = await self._open_folder(location, can_read)
        product = await self._product(await open_file(folder + MANIFEST))
        (entry,) = product.select(source_image.swath, None)
        annotations = (annotation_urls(folder + path) for path in entry.paths)
        opened = await self._open_first((url for urls in annotations if urls for url in urls.product), open_file)
        if opened is None:
            return None
        annotation = opened[1]
        found = self._looks.get(annotation.version)
        if found is None:
            found = (await self._threads.run(annotation, read_looks, annotation, source_image.swath),)
            self._looks.put(annotation.version, found)
        return found[0]

    async def _open_folder(self, location: str, can_read: CanRead) -> tuple[tuple[ObjectReader, ...], str, OpenFile]:
        """The archive of a product if it is in one, the URL of its folder, and what opens the files in it."""
        if is_zip_url(location):
            archive, folder, open_file = await self._zip_products.open(location, can_read)
            return (archive,), folder, open_file
        return (), parse_safe_url(location) or "", self._opens_files(can_read)

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
        self, folder: str, paths: Iterable[str], band: str, render: RenderParams, open_file: OpenFile
    ) -> Measurement:
        urls = tuple(folder + path for path in paths)
        opened = await self._open_first(urls, open_file)
        if opened is None:
            raise ImageNotFound(f"The manifest of the product lists {urls[0]}, which doesn't exist.")
        url, reader = opened
        if render.bursts == "merge" and has_bursts(url):
            reader = await self._merged(url, reader, open_file)
        return Measurement(reader, band, await self._annotation(url, render, open_file))

    async def _merged(self, url: str, reader: ObjectReader, open_file: OpenFile) -> ObjectReader:
        """Merge the bursts of a measurement, if its annotation has any."""
        urls = annotation_urls(url)
        opened = await self._open_first(urls.product if urls else (), open_file)
        if opened is None:
            raise UnsupportedImage(f"The annotation of {url}, which describes its bursts, doesn't exist.{KEEP_BURSTS}")
        return await self._bursts.merge(reader, opened[1])

    async def _annotation(self, location: str | bytes, render: RenderParams, open_file: OpenFile) -> Annotation | None:
        """Open the annotation of a measurement, if calibration is requested and the URL is in a product."""
        calibrated = render.calibration != "none" and isinstance(location, str)
        urls = annotation_urls(str(location)) if calibrated else None
        if urls is None:
            return None
        if not render.removes_noise:
            return Annotation(await self._open_annotation(urls.calibration, open_file))
        calibration, *noise = await asyncio.gather(
            self._open_annotation(urls.calibration, open_file),
            *(self._open_annotation(files, open_file, _KEEP_NOISE) for files in (urls.noise, urls.product)),
        )
        return Annotation(calibration, NoiseAnnotation(*noise))

    async def _open_annotation(self, urls: tuple[str, ...], open_file: OpenFile, advice: str = "") -> ObjectReader:
        opened = await self._open_first(urls, open_file)
        if opened is None:
            raise CalibrationMissing(f"The image can't be calibrated: its annotation {urls[0]} doesn't exist.{advice}")
        return opened[1]

    async def _open_first(self, urls: Iterable[str], open_file: OpenFile) -> tuple[str, ObjectReader] | None:
        """The first of these objects that exists, with its URL."""
        for url in urls:
            try:
                return url, await open_file(url)
            except ImageNotFound:
                continue
        return None
