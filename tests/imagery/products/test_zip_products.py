"""ZIP archives of Sentinel-1 products: the pixels of the folder, and archives that lie."""

from __future__ import annotations

import asyncio
import io
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from imagery.object_fixtures import RecordingReader
from sarlens.errors import ImageNotFound, PermissionDenied, SourceChanged, UnsupportedImage
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits, InMemoryObject, ObjectReader
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats.file_headers import FileHeaders
from sarlens.imagery.formats.reader import read_source_image
from sarlens.imagery.products.canonical_url import accessed_urls
from sarlens.imagery.products.image_resolver import ImageResolver
from sarlens.imagery.products.zip_directory import is_zip_url, read_zip_directory
from sarlens.imagery.products.zip_member import MAX_INFLATED_BYTES, InflatedCache, ZipMember
from sarlens.imagery.products.zip_products import ZipProducts
from sarlens.imagery.service.image_service import ImageService
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.stac import Item
from sarlens.types.caller import ANONYMOUS, CallerPolicy, CanRead, allow_all
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from support.in_memory_store import InMemoryStore
from support.rendering import resolve_and_render
from support.s3 import S3Server
from support.sentinel1_safe import DUAL, SAFE, small_product
from support.stac import item
from support.zip_files import ROOT, packed

URL = "s3://scenes/2021/S1A_X.zip"
CALIBRATED = RenderParams(bands=("VV", "VH"), calibration="sigma0")


def inflated(max_bytes: int = 2**20) -> InflatedCache:
    """An empty cache of inflated members."""
    return LRUCache(max_bytes, getsizeof=len)


def named(*names: str) -> bytes:
    """An archive of a manifest and empty members of these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in (f"{ROOT}manifest.safe", *names):
            archive.writestr(zipfile.ZipInfo(name), b"")
    return buffer.getvalue()


def patched(data: bytes, position: int, layout: str, value: int, *, signature: bytes = b"PK\x01\x02") -> bytes:
    """An archive with another field in the last record that has this signature."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.rindex(signature) + position, value)
    return bytes(changed)


def as_zip64(data: bytes) -> bytes:
    """An archive whose directory is found by the Zip64 records at its end."""
    end = data.rindex(b"PK\x05\x06")
    count, size, offset = struct.unpack_from("<10xHII", data, end)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    ending = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:end] + record + locator + ending


@pytest.mark.parametrize("repack", [lambda data: data, as_zip64, lambda data: b"#!/bin/sh\n" + data])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_an_archive_has_the_calibrated_pixels_of_its_folder(
    store: InMemoryStore, image_service: ImageService, method: int, repack: Callable[[bytes], bytes]
) -> None:
    """Stored or deflated members, Zip64 records, bytes in front: the rendering equals that of the folder."""
    files = small_product(DUAL)
    store.put_folder(SAFE, files)
    store.objects[URL] = repack(packed(files, method, zip64=repack is as_zip64))
    folder, of_folder = await resolve_and_render(image_service, ImageRequest(SAFE, CALIBRATED), 448, ANONYMOUS)
    archive, of_archive = await resolve_and_render(image_service, ImageRequest(URL, CALIBRATED), 448, ANONYMOUS)
    assert of_archive.data == of_folder.data
    assert archive.id != folder.id
    assert {url for url in store.opened if ".zip" in url} == {URL}


async def test_another_version_of_an_archive_has_another_id(store: InMemoryStore, image_service: ImageService) -> None:
    """A new archive at the same URL is a new image with the new pixels."""
    store.objects[URL] = packed(small_product(DUAL))
    first, old = await resolve_and_render(image_service, ImageRequest(URL), 448, ANONYMOUS)
    store.objects[URL] = packed(small_product({"iw-grd-vv": DUAL["iw-grd-vh"]}))
    second, new = await resolve_and_render(image_service, ImageRequest(URL), 448, ANONYMOUS)
    assert first.id != second.id
    assert old.data != new.data


def test_the_rights_of_a_key_apply_to_the_archive() -> None:
    """The accessed URL is that of the archive, without its version or token; other names aren't archives."""
    assert accessed_urls(ImageRequest(f"{URL}?versionId=7", CALIBRATED)) == (URL,)
    assert accessed_urls(ImageRequest("https://e.com/a/../X.ZIP?token=1", CALIBRATED)) == ("https://e.com/X.ZIP",)
    assert not any(map(is_zip_url, (f"{URL}/", f"{URL}/{ROOT}", "s3://b/a.tif?x=.zip", "data:x.zip", "file:///x.zip")))


async def test_an_item_leads_to_an_archive_that_the_key_allows(store: InMemoryStore, threads: ImageThreads) -> None:
    """An asset that is an archive opens as a product; outside the rights of the key, it isn't opened."""
    store.objects[URL] = packed(small_product(DUAL))
    asset = {"href": URL, "roles": ["data"], "type": "application/vnd.safe"}
    located = ImageRequest(Item.model_validate(item({"product": asset})), RenderParams(asset="product"))
    image, _ = await store.resolver(threads).open(located, ANONYMOUS)
    assert [measurement.band for measurement in image.measurements] == ["VV"]
    del store.opened[:]
    with pytest.raises(PermissionDenied):
        await store.resolver(threads).open(located, CallerPolicy(can_read=lambda url: url != URL))
    assert store.opened == []


@dataclass
class RangeStore:
    """A store that is read by ranges, and records its readers."""

    data: bytes
    version: str = "v1"
    readers: list[RecordingReader] = field(default_factory=list)

    async def open(self, url: str | bytes, can_read: CanRead) -> ObjectReader:
        """A new reader of the archive."""
        self.readers.append(RecordingReader(self.data, str(url), self.version))
        return self.readers[-1]


async def test_a_stored_member_is_read_by_ranges(threads: ImageThreads) -> None:
    """Reading 10 bytes of a member of 1 MiB fetches these and the member's header; the directory is read once."""
    store = RangeStore(packed({"manifest.safe": b"", "measurement/a.tiff": bytes(range(256)) * 4096}))
    products = ZipProducts(store.open, threads)
    _, folder, _ = await products.open(URL, allow_all)
    assert folder == f"{URL}/{ROOT}"
    assert sum(length for _, length in store.readers[0].reads) < 1500
    _, _, open_file = await products.open(URL, allow_all)
    member = await open_file(f"{folder}measurement/a.tiff")
    assert (member.size, member.read(2**20 - 6, 10), member.read(513, 4)) == (
        2**20,
        bytes(range(250, 256)),
        b"\1\2\3\4",
    )
    header = 30 + len(f"{ROOT}measurement/a.tiff")
    assert [[length for _, length in reader.reads] for reader in store.readers[1:]] == [[], [header, 6, 4]]
    with pytest.raises(ImageNotFound):
        await open_file(f"{folder}measurement/b.tiff")


async def test_an_archive_in_s3_is_not_downloaded(s3: S3Server, threads: ImageThreads) -> None:
    """The pixels of a measurement in an archive of 8 MiB cost less than 0.5 MiB; an overwritten archive is another."""
    files = small_product(DUAL) | {"measurement/other.tiff": bytes(2**23)}
    stores = S3StoreFactory(endpoint=s3.endpoint, anonymous=True)
    source = S3Source(stores, LRUCache(2**24, getsizeof=len), metadata_ttl_s=0)
    registry = SourceRegistry({"s3": source}, DataUrlSource(0))
    resolver = ImageResolver(registry.open, threads, FileHeaders(DecodeLimits()))
    versions = set()
    for seed in (1, 2):
        body = packed(files | {"measurement/other.tiff": bytes([seed]) * 2**23})
        await asyncio.to_thread(s3.client().put_object, Bucket="open", Key="a b.zip", Body=body)
        image, render = await resolver.open(ImageRequest("s3://open/a%20b.zip", CALIBRATED), ANONYMOUS)
        raster = await threads.run(image.objects[0], read_source_image, image, render, 448, DecodeLimits())
        assert isinstance(raster, Raster)
        np.testing.assert_array_equal(raster.pixels, [DUAL["iw-grd-vv"], DUAL["iw-grd-vh"]])
        assert sum(reader.bytes_fetched for reader in (*image.index_objects, *image.objects)) < 2**19
        versions |= {reader.version for reader in image.objects}
    assert len(versions) == 2 * 2 * 4


async def test_an_archive_that_changes_between_two_files_is_not_mixed(threads: ImageThreads) -> None:
    """A file of a newer archive isn't read with the directory of an older one."""
    store = RangeStore(packed({"manifest.safe": b""}))
    _, folder, open_file = await ZipProducts(store.open, threads).open(URL, allow_all)
    store.version = "v2"
    with pytest.raises(SourceChanged, match="it changed while"):
        await open_file(f"{folder}manifest.safe")


SMALL = packed({"manifest.safe": b"<a/>", "a.xml": b"0123456789"})
DEFLATED = packed({"manifest.safe": b"<a/>", "a.xml": bytes(1000)}, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "isn't a valid ZIP archive"),
        (b"II*\0" * 100, "isn't a valid ZIP archive"),
        (SMALL[:-30], "isn't a valid ZIP archive"),
        (named("../secret"), "isn't a relative path"),
        (named(f"{ROOT}a/../../b"), "isn't a relative path"),
        (named("/etc/passwd"), "isn't a relative path"),
        (named(f"{ROOT}..\\b"), "isn't a relative path"),
        (named("a" * 513), "isn't a relative path"),
        (named("?.SAFE/manifest.safe").replace(b"S1A_X", b"S1A#X"), "it contains 0"),
        (named(f"{ROOT}a").replace(b".SAFE/a", b".SAFE\0a"), "isn't a relative path"),
        (named(f"{ROOT}b", f"{ROOT}c").replace(b".SAFE/c", b".SAFE/b"), "two members of the same name"),
        (named("S1B_Y.SAFE/manifest.safe"), "it contains 2"),
        (packed({"a.xml": b""}), "it contains 0"),
        (packed({"manifest.safe": b""}, root="deep/S1A_X.SAFE/"), "it contains 0"),
        (packed({"manifest.safe": b""}, zipfile.ZIP_LZMA), "a method other than deflate"),
        (patched(SMALL, 8, "<H", 1), "is encrypted"),
        (patched(SMALL, 24, "<I", 11), "a size that can't be true"),
        (patched(patched(SMALL, 20, "<I", 9999), 24, "<I", 9999), "a size that can't be true"),
        (patched(DEFLATED, 20, "<I", 2**31), "a size that can't be true"),
        (patched(SMALL, 42, "<I", 0), "members that overlap"),
        (patched(SMALL, 42, "<I", 70), "members that overlap"),
        (patched(SMALL, 42, "<I", 2**31), "a size that can't be true"),
        (patched(SMALL, 16, "<I", 2**31, signature=b"PK\x05\x06"), "members that overlap"),
        (patched(SMALL, 12, "<I", 2**31, signature=b"PK\x05\x06"), "isn't a valid ZIP archive"),
        (patched(as_zip64(SMALL), 40, "<Q", 2**63, signature=b"PK\x06\x06"), "isn't a valid ZIP archive"),
        (named(*(f"{ROOT}{number:060}" for number in range(2500))), "a directory of more than 262144 bytes"),
    ],
)
def test_a_hostile_directory_is_rejected(data: bytes, reason: str) -> None:
    """Names that climb, members that overlap, sizes and counts that lie: one sentence each, after few bytes."""
    reader = RecordingReader(data, URL)
    with pytest.raises(UnsupportedImage, match=re.escape(reason)):
        read_zip_directory(reader)
    assert max((length for _, length in reader.reads), default=0) <= 256 * 1024


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (patched(DEFLATED, 24, "<I", 999), "its content contradicts"),
        (patched(DEFLATED, 24, "<I", 1001), "its content contradicts"),
        (patched(DEFLATED, 16, "<I", 7), "its content contradicts"),
        (patched(DEFLATED, 0, "<I", 0, signature=b"PK\x03\x04"), "its header contradicts"),
        (patched(DEFLATED, 28, "<H", 60000, signature=b"PK\x03\x04"), "its header contradicts"),
        (patched(DEFLATED, 26, "<H", 5, signature=b"PK\x03\x04"), "its header contradicts"),
        (patched(DEFLATED, 30, "<B", 0, signature=b"PK\x03\x04"), "its header contradicts"),
        (patched(DEFLATED, 46, "<B", 0xFF, signature=b"PK\x03\x04"), "its content contradicts"),
    ],
)
def test_a_member_that_contradicts_the_directory_is_rejected(data: bytes, reason: str) -> None:
    """Another size, checksum, name or place than the directory says, or damaged data."""
    entry = read_zip_directory(RecordingReader(data)).entries["a.xml"]
    member = ZipMember(InMemoryObject(URL, "v", data), f"{URL}/a.xml", entry, inflated())
    with pytest.raises(UnsupportedImage, match=reason):
        member.read(0, 1)


@pytest.mark.parametrize(("max_bytes", "fetches"), [(2000, 1), (1500, 3)])
def test_inflated_members_take_bounded_memory(max_bytes: int, fetches: int) -> None:
    """Members hold no content of their own: what the shared cache evicts is fetched and inflated again."""
    content = {"a.xml": bytes(1000), "b.xml": b"x" * 1000}
    data = packed({"manifest.safe": b"<a/>"} | content, zipfile.ZIP_DEFLATED)
    entries, cache = read_zip_directory(RecordingReader(data)).entries, inflated(max_bytes)
    readers = {path: RecordingReader(data, URL, "v1") for path in content}
    members = {path: ZipMember(reader, path, entries[path], cache) for path, reader in readers.items()}
    for _ in range(3):
        assert {path: member.read(0, 2000) for path, member in members.items()} == content
    assert cache.size_bytes <= max_bytes
    bodies = [length for _, length in readers["a.xml"].reads if length == entries["a.xml"].stored_bytes]
    assert len(bodies) == fetches


def test_a_zip_bomb_is_rejected_by_its_size() -> None:
    """A deflated member above 32 MiB is rejected before a byte is read; one below that size lies and is stopped."""
    data = packed({"manifest.safe": b"", "a.tiff": bytes(MAX_INFLATED_BYTES + 1)}, zipfile.ZIP_DEFLATED)
    reader = RecordingReader(data, URL)
    entry = read_zip_directory(reader).entries["a.tiff"]
    del reader.reads[:]
    with pytest.raises(UnsupportedImage, match=r"has 33554433 bytes.* pack it again with zip -0 -r"):
        ZipMember(reader, f"{URL}/a.tiff", entry, inflated())
    assert reader.reads == []
    with pytest.raises(UnsupportedImage, match="its content contradicts"):
        ZipMember(reader, f"{URL}/a.tiff", entry._replace(size=10), inflated()).read(0, 10)
