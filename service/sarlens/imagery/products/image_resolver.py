"""Open the image at a location, directly or through a STAC Item."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from sarlens.errors import (
    AccessDenied,
    BadRequest,
    ImageNotFound,
    PermissionDenied,
    SourceNotAllowed,
    SourceUnavailable,
    UnsupportedItem,
)
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.products.band_files import BandFiles
from sarlens.imagery.products.canonical_url import accessed_urls
from sarlens.imagery.products.file_headers import FileHeaders
from sarlens.imagery.products.product_opener import ProductOpener, is_product_url
from sarlens.imagery.products.stac_asset import acquisition_of, asset_urls, file_bands, polarizations_of, select_assets
from sarlens.imagery.products.stac_item import read_stac_item
from sarlens.imagery.products.zip_products import OpenObject
from sarlens.stac import Item
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest, check_url_length
from sarlens.types.render_params import DEFAULT_RENDER, RenderParams

_MAX_CACHED_ITEM_BYTES = 16 * 2**20
_TRY_ALTERNATE = (SourceNotAllowed, PermissionDenied, AccessDenied, ImageNotFound, SourceUnavailable)
_ENTRY_BYTES, _ASSET_BYTES = 256, 2048
"""Estimated memory of a cache entry, and of each asset of an Item."""


class _CachedItem(NamedTuple):
    item: Item | None
    """None if the object isn't a STAC Item."""
    weight: int
    """Estimated memory in bytes."""


class ImageResolver:
    """Opens images. Parsed STAC Items are cached by object version, up to 16 MiB."""

    def __init__(self, open_object: OpenObject, threads: ImageThreads, headers: FileHeaders) -> None:
        self._open_object = open_object
        self._threads = threads
        self._band_files = BandFiles(threads, headers)
        self._product_opener = ProductOpener(open_object, threads, headers)
        self._items: LRUCache[str, _CachedItem] = LRUCache(
            _MAX_CACHED_ITEM_BYTES, getsizeof=lambda cached: cached.weight
        )

    async def open(
        self, image_request: ImageRequest, policy: CallerPolicy, *, any_swath: bool = False
    ) -> tuple[SourceImage, RenderParams]:
        """Open the image of a request; if it is a STAC Item, the asset that the render parameters select.

        With ``any_swath``, the URL of a product that has several swaths opens the first one if none is named.

        Returns:
            The image, and the render parameters with the asset resolved and bands named as in its file.

        Raises:
            PermissionDenied: the caller's key doesn't allow the asset.
            AssetNotFound, UnsupportedItem: the Item has no such image.
            BadRequest: the request names an asset but the source isn't a STAC Item.
            SarlensError: the image can't be opened.
        """
        location, render = image_request.location, image_request.render or DEFAULT_RENDER
        check_url_length(location)
        if isinstance(location, tuple):
            return await self._open_band_files(location, render, policy), render
        if isinstance(location, Item):
            return await self._open_item(location, None, render, policy)
        if isinstance(location, str) and is_product_url(location):
            if render.asset is not None:
                raise BadRequest("A Sentinel-1 product isn't a STAC Item and has no assets.", param="sar.asset")
            opened = self._product_opener.open(location, None, render, policy.can_read, any_swath=any_swath)
            return await opened, render
        reader = await self._open_object(location, policy.can_read)
        item = await self._item(reader)
        if item is not None:
            base = location if isinstance(location, str) else None
            source_image, render = await self._open_item(item, base, render, policy)
            return replace(source_image, index_objects=(reader, *source_image.index_objects)), render
        if render.asset is not None:
            raise BadRequest(f"{reader.name} isn't a STAC Item and has no assets.", param="sar.asset")
        return await self._product_opener.open(location, reader, render, policy.can_read), render

    async def looks(self, source_image: SourceImage, policy: CallerPolicy) -> tuple[int, int] | None:
        """Return the looks of a product's image, as ``ProductOpener.looks``; None for other images."""
        return await self._product_opener.looks(source_image, policy.can_read)

    async def _open_band_files(self, urls: tuple[str, ...], render: RenderParams, policy: CallerPolicy) -> SourceImage:
        """Open the files of the bands that the render parameters select, else that of VV or HH."""
        self._band_files.check_render(render)
        if any(map(is_product_url, urls)):
            raise BadRequest("A list of URLs names files of one band each, and a product has several files.")
        readers = [await self._open_object(url, policy.can_read) for url in urls]
        bands = await self._band_files.bands(readers)
        labels = tuple(map(bands.label, range(len(urls))))
        indexes = bands.indexes(render.bands) if render.bands else (bands.default_index(),)
        await self._band_files.check_grid(readers)
        opened = [
            await self._product_opener.open(urls[index], readers[index], render, policy.can_read) for index in indexes
        ]
        measurements = [
            replace(source_image.measurements[0], band=labels[index])
            for index, source_image in zip(indexes, opened, strict=True)
        ]
        name = ", ".join(reader.name for reader in readers)
        return SourceImage(name, tuple(measurements), urls, bands=labels)

    async def _open_item(
        self, item: Item, base: str | None, render: RenderParams, policy: CallerPolicy
    ) -> tuple[SourceImage, RenderParams]:
        """Open the assets of an Item that the render parameters select, each as one band if there are several."""
        keys = select_assets(item, render)
        if len(keys) == 1:
            return await self._open_asset(item, keys[0], base, render, policy)
        measurements = []
        for key in keys:
            (band,) = polarizations_of(item, key)
            source_image, _ = await self._open_asset(
                item, key, base, render.model_copy(update={"bands": (band,)}), policy
            )
            measurements.append(replace(source_image.measurements[0], band=band))
        await self._band_files.check_grid([measurement.reader for measurement in measurements])
        bands = tuple(str(measurement.band) for measurement in measurements)
        acquisition = acquisition_of(item, keys[0]).model_copy(update={"asset": ",".join(keys), "polarizations": bands})
        return SourceImage(item.id, tuple(measurements), base or item, acquisition=acquisition), render

    async def _open_asset(
        self, item: Item, key: str, base: str | None, render: RenderParams, policy: CallerPolicy
    ) -> tuple[SourceImage, RenderParams]:
        """Open an asset at its URL, or at an alternate one if the URL isn't allowed or can't be read."""
        render = render.model_copy(update={"asset": None, "bands": file_bands(item, key, render.bands)})
        *others, last = asset_urls(item, key, base)
        for url in others:
            try:
                return await self._open_asset_url(item, key, url, render, policy)
            except _TRY_ALTERNATE:
                continue
        return await self._open_asset_url(item, key, last, render, policy)

    async def _open_asset_url(
        self, item: Item, key: str, url: str, render: RenderParams, policy: CallerPolicy
    ) -> tuple[SourceImage, RenderParams]:
        if not all(map(policy.can_read, accessed_urls(ImageRequest(url, render)))):
            raise PermissionDenied(f"This API key doesn't allow the Item's asset {key[:64]!r}.", param="image_url")
        reader = None if is_product_url(url) else await self._open_object(url, policy.can_read)
        if reader is not None and await self._item(reader) is not None:
            raise UnsupportedItem(f"The Item's asset {key[:64]!r} is a STAC Item, not an image.")
        source_image = await self._product_opener.open(url, reader, render, policy.can_read)
        return replace(source_image, acquisition=acquisition_of(item, key)), render

    async def _item(self, reader: ObjectReader) -> Item | None:
        cached = self._items.get(reader.version)
        if cached is None:
            item = await self._threads.run(reader, read_stac_item, reader)
            weight = _ENTRY_BYTES if item is None else _ENTRY_BYTES + reader.size + _ASSET_BYTES * len(item.assets)
            cached = _CachedItem(item, weight)
            self._items.put(reader.version, cached)
        return cached.item
