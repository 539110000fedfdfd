"""Images opened at a location, directly or through a STAC Item."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sarlens.errors import BadRequest, PermissionDenied, SourceNotAllowed, UnsupportedItem
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.formats.file_headers import FileHeaders
from sarlens.imagery.products.image_resolver import ImageResolver
from sarlens.imagery.products.stac_item import read_stac_item
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.https import open_https
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.stac import Item
from sarlens.types.caller import ANONYMOUS, CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from support.canned_http_server import canned, http
from support.fake_resolver import FakeResolver
from support.georeferenced_scenes import geotiff
from support.in_memory_store import InMemoryStore
from support.sentinel1_safe import DUAL, SAFE, small_product
from support.stac import S1_ASSETS, item
from support.tls import tls

TIFF = b"II*\0" + bytes(60)


def add(store: InMemoryStore, **objects: bytes) -> None:
    """Add objects to the bucket ``scenes``; ``__`` in a name is a slash and ``_`` a dot."""
    for name, data in objects.items():
        store.objects[f"s3://scenes/{name.replace('__', '/').replace('_', '.')}"] = data


async def test_an_item_leads_to_its_image(store: InMemoryStore, threads: ImageThreads) -> None:
    """The image of an Item is the selected asset; the Item counts as opened, and its metadata is kept."""
    add(store, scene=json.dumps(item(S1_ASSETS)).encode(), vv_tif=TIFF)
    image, render = await store.resolver(threads).open(
        ImageRequest("s3://scenes/scene", RenderParams(bands=("VV",))), ANONYMOUS
    )
    assert (image.location, image.name) == ("s3://scenes/vv.tif", "s3://scenes/vv.tif")
    assert image.georeferencing_file.read(0, 4) == TIFF[:4]
    assert (render.bands, render.asset) == ((1,), None)
    assert image.acquisition is not None
    assert image.acquisition.asset == "vv"
    assert [reader.name for reader in image.index_objects] == ["s3://scenes/scene"]
    assert [reader.name for reader in image.objects] == ["s3://scenes/vv.tif"]


@pytest.mark.parametrize("inline", [False, True])
async def test_two_assets_are_two_bands(store: InMemoryStore, threads: ImageThreads, inline: bool) -> None:
    """Bands in assets of their own are the measurements of one image, whose location is the Item."""
    document = item({"vv": "s3://scenes/vv.tif", "vh": "s3://scenes/vh.tif"})
    files = {f"{name}_tif": geotiff(np.full((8, 8), value, np.uint16)) for value, name in enumerate(("vv", "vh"), 1)}
    add(store, scene=json.dumps(document).encode(), **files)
    location = Item.model_validate(document) if inline else "s3://scenes/scene"
    params = RenderParams(bands=("VH", "VV"))
    image, render = await store.resolver(threads).open(ImageRequest(location, params), ANONYMOUS)
    assert [(part.reader.name, part.band) for part in image.measurements] == [
        ("s3://scenes/vh.tif", "VH"),
        ("s3://scenes/vv.tif", "VV"),
    ]
    assert (image.location, render) == (location, params)
    assert image.acquisition is not None
    assert (image.acquisition.asset, image.acquisition.polarizations) == ("vh,vv", ("VH", "VV"))
    add(store, vh_tif=geotiff(np.ones((8, 9), np.uint16)))
    with pytest.raises(BadRequest, match=r"vv.tif isn't on the grid of .*vh.tif.*: it has 8 x 8 pixels, not 9 x 8"):
        await store.resolver(threads).open(ImageRequest(location, params), ANONYMOUS)


async def test_an_alternate_is_tried(store: InMemoryStore, threads: ImageThreads) -> None:
    """If an asset can't be read at its URL, it is read at its alternate."""
    add(store, vv_tif=TIFF)
    asset = {"href": "s3://scenes/gone.tif", "alternate": {"s3": {"href": "s3://scenes/vv.tif"}}, "type": "image/tiff"}
    located = Item.model_validate(item({"vv": asset}))
    image, _ = await store.resolver(threads).open(ImageRequest(located), ANONYMOUS)
    assert image.location == "s3://scenes/vv.tif"
    allowed = CallerPolicy(can_read=lambda url: url == "s3://scenes/gone.tif")
    with pytest.raises(PermissionDenied):
        await store.resolver(threads).open(ImageRequest(located), allowed)


async def test_an_item_can_lead_to_a_product(store: InMemoryStore, threads: ImageThreads) -> None:
    """An asset can be a SAFE folder; Item and manifest are index objects and no part of the version."""
    store.put_folder(SAFE, small_product(DUAL))
    resolver = store.resolver(threads)
    asset = {"href": SAFE, "roles": ["data"], "type": "application/vnd.safe"}
    add(store, item_json=json.dumps(item({"safe": asset})).encode())
    image, _ = await resolver.open(ImageRequest("s3://scenes/item.json", RenderParams(asset="safe")), ANONYMOUS)
    direct, _ = await resolver.open(ImageRequest(SAFE), ANONYMOUS)
    assert image.version == direct.version
    assert [reader.name for reader in image.index_objects] == ["s3://scenes/item.json", f"{SAFE}/manifest.safe"]
    assert [reader.name for reader in direct.index_objects] == [f"{SAFE}/manifest.safe"]


async def test_an_item_can_come_with_the_request(store: InMemoryStore, threads: ImageThreads) -> None:
    """As an object, as bytes or as a data: URL, an Item leads to the same image."""
    add(store, vv_tif=TIFF)
    document = item({"vv": "s3://scenes/vv.tif"})
    text = json.dumps(document)
    for location in (Item.model_validate(document), text.encode(), f"data:application/geo+json,{text}"):
        image, _ = await store.resolver(threads).open(ImageRequest(location), ANONYMOUS)
        assert image.location == "s3://scenes/vv.tif"


@pytest.mark.parametrize("href", ["item.json", "?", "other.json"])
async def test_an_item_of_an_item_is_rejected(store: InMemoryStore, threads: ImageThreads, href: str) -> None:
    """References are followed once: an asset that is an Item, the same or another, is rejected."""
    data = json.dumps(item({"a": href})).encode()
    add(store, item_json=data, other_json=data)
    with pytest.raises(UnsupportedItem) as rejected:
        await store.resolver(threads).open(ImageRequest("s3://scenes/item.json"), ANONYMOUS)
    assert rejected.value.message == "The Item's asset 'a' is a STAC Item, not an image."
    assert len(store.opened) == 2


async def test_the_caller_must_be_allowed_to_read_the_asset(store: InMemoryStore, threads: ImageThreads) -> None:
    """A key that doesn't allow the asset is rejected before the asset is opened."""
    add(store, open__item_json=json.dumps(item({"a": "../closed/a.tif"})).encode(), closed__a_tif=TIFF)
    resolver = store.resolver(threads)
    policy = CallerPolicy(can_read=lambda url: url.startswith("s3://scenes/open/"))
    with pytest.raises(PermissionDenied, match="This API key doesn't allow the Item's asset 'a'"):
        await resolver.open(ImageRequest("s3://scenes/open/item.json"), policy)
    assert store.opened == ["s3://scenes/open/item.json"]
    policy = CallerPolicy(can_read=lambda url: url == "s3://scenes/closed/a.tif")
    image, _ = await resolver.open(ImageRequest("s3://scenes/open/item.json"), policy)
    assert image.location == "s3://scenes/closed/a.tif"


async def test_an_item_is_parsed_once_per_version(
    store: InMemoryStore, threads: ImageThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three requests parse the Item once and look at the image once; a new version is parsed again."""
    parsed: list[str] = []

    def counted(reader: ObjectReader) -> Item | None:
        parsed.append(reader.name)
        return read_stac_item(reader)

    monkeypatch.setattr("sarlens.imagery.products.image_resolver.read_stac_item", counted)
    add(store, item_json=json.dumps(item({"a": "a.tif"})).encode(), a_tif=TIFF)
    resolver = store.resolver(threads)
    for _ in range(3):
        await resolver.open(ImageRequest("s3://scenes/item.json"), ANONYMOUS)
    assert parsed == ["s3://scenes/item.json", "s3://scenes/a.tif"]
    add(store, item_json=json.dumps(item({"b": "a.tif"})).encode())
    await resolver.open(ImageRequest("s3://scenes/item.json"), ANONYMOUS)
    assert parsed[2:] == ["s3://scenes/item.json"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://scenes/vv.tif", "s3://scenes/vv.tif isn't a STAC Item and has no assets."),
        (SAFE, "A Sentinel-1 product isn't a STAC Item and has no assets."),
    ],
)
async def test_only_items_have_assets(store: InMemoryStore, threads: ImageThreads, location: str, message: str) -> None:
    """An asset of a file or of a product is rejected."""
    add(store, vv_tif=TIFF)
    with pytest.raises(BadRequest) as rejected:
        await store.resolver(threads).open(ImageRequest(location, RenderParams(asset="vv")), ANONYMOUS)
    assert (rejected.value.message, rejected.value.param) == (message, "sar.asset")


async def test_an_item_on_the_web(tmp_path: Path, threads: ImageThreads) -> None:
    """An Item of a web server is fetched as images are; its references are limited to the same allowed hosts."""
    trust = tls(tmp_path, "images.test")
    document = item({"vv": "../vv.tif", "vh": "https://inside.test/vh.tif"})
    answers = (http(200, json.dumps(document).encode()), http(200, TIFF))
    async with (
        canned(*answers, tls=trust.server) as server,
        open_https(
            LRUCache(2**20, getsizeof=len),
            hosts=[f"images.test:{server.port}"],
            max_bytes=2**20,
            resolver=FakeResolver({"images.test": [["127.0.0.1"]]}),
            allows=lambda address: address == "127.0.0.1",
            tls=trust.client,
        ) as https,
    ):
        resolver = ImageResolver(
            SourceRegistry({"https": https}, DataUrlSource(0)).open, threads, FileHeaders(DecodeLimits())
        )
        location = f"https://images.test:{server.port}/a/items/one?t=1"
        image, _ = await resolver.open(ImageRequest(location, RenderParams(asset="vv")), ANONYMOUS)
        assert image.location == f"https://images.test:{server.port}/a/vv.tif"
        server.asked.clear()
        with pytest.raises(SourceNotAllowed, match=r"inside\.test"):
            await resolver.open(ImageRequest(location, RenderParams(asset="vh")), ANONYMOUS)
    assert [request.split()[1] for request in server.asked] == ["/a/items/one?t=1"]
