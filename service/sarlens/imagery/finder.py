"""From a place to the image there, at once or by way of a STAC Item."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from sarlens.errors import BadRequest, NotAllowed, UnsupportedItem
from sarlens.imagery.address import addresses
from sarlens.imagery.archive import Archive, Open
from sarlens.imagery.asset import acquisition_of, bands_in, choose, locate
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.item import read_item
from sarlens.imagery.original import Original
from sarlens.imagery.safe import product_folder
from sarlens.imagery.source import Blob
from sarlens.request import Place, Render, Terms, View
from sarlens.stac import Acquisition, Item

_REMEMBERED = 16 * 2**20
_LIGHT, _ASSET = 256, 2048


@dataclass(frozen=True, slots=True)
class Found:
    """An open image: where it is, and how it is to be rendered.

    ``acquisition`` is what an Item says of it; ``opened`` are all objects that were opened on the way.
    """

    place: str | bytes
    original: Original
    render: Render
    acquisition: Acquisition | None
    opened: tuple[Blob, ...]


class _Look(NamedTuple):
    item: Item | None
    weight: int


class Finder:
    """Opens images. What was found out about an object is remembered by its version, 16 MiB of Items at most."""

    def __init__(self, open_blob: Open, threads: Executor) -> None:
        self._open = open_blob
        self._archive = Archive(open_blob, threads)
        self._looks: ByteLRU[str, _Look] = ByteLRU(_REMEMBERED, weigh=lambda look: look.weight)

    async def find(self, place: Place, render: Render, terms: Terms) -> Found:
        """Open the image at a place; of an Item there, the asset that ``render`` asks for.

        Raises:
            NotAllowed: the caller's key does not open the asset.
            AssetMissing, UnsupportedItem: the Item leads to no image.
            BadRequest: an asset is named of what is no Item.
            SarlensError: the image cannot be had.
        """
        if isinstance(place, Item):
            return await self._follow(place, None, render, terms)
        if isinstance(place, str) and product_folder(place) is not None:
            if render.asset is not None:
                raise BadRequest("A product is no STAC Item, so it has no assets.", param="sar.asset")
            return await self._found(place, None, render)
        blob = await self._open(place)
        item = await self._item(blob)
        if item is not None:
            base = place if isinstance(place, str) else None
            return await self._follow(item, base, render, terms, (blob,))
        if render.asset is not None:
            raise BadRequest(f"{blob.name} is no STAC Item, so it has no assets.", param="sar.asset")
        return await self._found(place, blob, render)

    async def _found(
        self,
        place: str | bytes,
        blob: Blob | None,
        render: Render,
        acquisition: Acquisition | None = None,
        before: tuple[Blob, ...] = (),
    ) -> Found:
        original = await self._archive.open(place, blob, render)
        return Found(place, original, render, acquisition, (*before, *original.blobs))

    async def _follow(
        self, item: Item, base: str | None, render: Render, terms: Terms, before: tuple[Blob, ...] = ()
    ) -> Found:
        key = choose(item, render)
        url = locate(item, key, base)
        drawn = render.model_copy(update={"asset": None, "bands": bands_in(item, key, render.bands)})
        if not all(map(terms.may_see, addresses(View(url, drawn)))):
            raise NotAllowed(f"This API key does not open the asset {key[:64]!r} of the Item.", param="image_url")
        blob = None if product_folder(url) is not None else await self._open(url)
        if blob is not None and await self._item(blob) is not None:
            raise UnsupportedItem(f"The asset {key[:64]!r} of the Item is an Item itself, and no image.")
        return await self._found(url, blob, drawn, acquisition_of(item, key), before)

    async def _item(self, blob: Blob) -> Item | None:
        look = self._looks.get(blob.version)
        if look is None:
            item = await asyncio.to_thread(read_item, blob)
            look = _Look(item, _LIGHT if item is None else _LIGHT + blob.size + _ASSET * len(item.assets))
            self._looks.put(blob.version, look)
        return look.item
