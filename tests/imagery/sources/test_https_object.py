"""Large objects on the web, read by ranges from a real server."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import pytest

from sarlens.errors import ImageNotFound, PayloadTooLarge, SourceChanged
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats.file_headers import FileHeaders
from sarlens.imagery.formats.reader import read_source_image
from sarlens.imagery.products.image_resolver import ImageResolver
from sarlens.imagery.sources.block_object import BLOCK
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.https import HttpsSource, open_https
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from support.canned_http_server import canned, http
from support.fake_resolver import FakeResolver
from support.https_file_server import FileServer, https_files
from support.sentinel1_safe import DUAL, small_product
from support.tls import Tls, tls
from support.zip_files import packed

LIMIT = 2 * BLOCK
RANGES = "Accept-Ranges: bytes"
SCENE = random.Random(1).randbytes(6 * BLOCK + 1234)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for the host of these tests."""
    return tls(tmp_path_factory.mktemp("tls"), "images.test")


@pytest.fixture
async def server(tmp_path: Path, trust: Tls) -> AsyncIterator[FileServer]:
    """A server of one large file, ``x.tif``, in the test's folder."""
    (tmp_path / "x.tif").write_bytes(SCENE)
    async with https_files(tmp_path, trust.server) as server:
        yield server


def source(trust: Tls, port: int) -> AbstractAsyncContextManager[HttpsSource]:
    """A source that downloads up to 128 KiB."""
    return open_https(
        LRUCache(2**24, getsizeof=len),
        hosts=[f"images.test:{port}"],
        max_bytes=LIMIT,
        timeout_s=5.0,
        resolver=FakeResolver({"images.test": [["127.0.0.1"]]}),
        allows=lambda address: address == "127.0.0.1",
        tls=trust.client,
    )


async def test_a_large_object_is_read_by_ranges(trust: Tls, server: FileServer) -> None:
    """Blocks of 64 KiB are fetched as they are read, and once; the next opening fetches one byte."""
    async with source(trust, server.port) as https:
        url = f"https://images.test:{server.port}/x.tif?token=1"
        reader = await https.open(url)
        assert (reader.size, reader.name) == (len(SCENE), f"https://images.test:{server.port}/x.tif")
        for start, length in ((3 * BLOCK - 5, 10), (3 * BLOCK, 4), (len(SCENE) - 3, 99), (0, 2), (len(SCENE), 5)):
            assert await asyncio.to_thread(reader.read, start, length) == SCENE[start : start + length]
        assert reader.bytes_fetched == 3 * BLOCK + 1234
        assert server.ranges == [
            None,
            f"bytes={2 * BLOCK}-{4 * BLOCK - 1}",
            f"bytes={6 * BLOCK}-{len(SCENE) - 1}",
            f"bytes=0-{BLOCK - 1}",
        ]
        again = await https.open(url)
        assert (again.version, again.bytes_fetched) == (reader.version, 1)
        assert await asyncio.to_thread(again.read, 2 * BLOCK, 9) == SCENE[2 * BLOCK : 2 * BLOCK + 9]
        assert server.ranges[4:] == ["bytes=0-0"]


async def test_a_replaced_object_is_never_mixed(trust: Tls, server: FileServer, tmp_path: Path) -> None:
    """A read after the object was replaced fails, and the next opening has another version."""
    async with source(trust, server.port) as https:
        url = f"https://images.test:{server.port}/x.tif"
        old = await https.open(url)
        (tmp_path / "x.tif").write_bytes(SCENE[::-1])
        os.utime(tmp_path / "x.tif", (1, 1))
        with pytest.raises(SourceChanged, match="it changed while"):
            await asyncio.to_thread(old.read, 2 * BLOCK, 10)
        new = await https.open(url)
        assert new.version != old.version
        assert await asyncio.to_thread(new.read, 0, 10) == SCENE[::-1][:10]
        (tmp_path / "x.tif").unlink()
        with pytest.raises(ImageNotFound):
            await https.open(url)


@pytest.mark.parametrize("headers", [[], [RANGES], [RANGES, 'ETag: W/"1"'], ['ETag: "1"']])
async def test_a_large_object_without_ranges_is_rejected(trust: Tls, headers: list[str]) -> None:
    """Ranges of one version require Accept-Ranges and a strong ETag; the message names both."""
    large = http(200, b"x", headers, length=LIMIT + 1)
    async with canned(large, tls=trust.server) as server, source(trust, server.port) as https:
        with pytest.raises(PayloadTooLarge, match=r"Accept-Ranges.*strong ETag"):
            await https.open(f"https://images.test:{server.port}/x.tif")


async def test_a_product_in_a_large_archive_is_not_downloaded(
    trust: Tls, server: FileServer, tmp_path: Path, threads: ImageThreads
) -> None:
    """Both polarizations of an archive of 8 MiB are calibrated with less than 0.5 MiB of it."""
    (tmp_path / "x.zip").write_bytes(packed(small_product(DUAL) | {"measurement/other.tiff": bytes(2**23)}))
    async with source(trust, server.port) as https:
        registry = SourceRegistry({"https": https}, DataUrlSource(0))
        resolver = ImageResolver(registry.open, threads, FileHeaders(DecodeLimits()))
        render = RenderParams(bands=("VV", "VH"), calibration="sigma0")
        request = ImageRequest(f"https://images.test:{server.port}/x.zip", render)
        image, render = await resolver.open(request, ANONYMOUS)
        raster = await threads.run(image.objects[0], read_source_image, image, render, 448, DecodeLimits())
    assert isinstance(raster, Raster)
    np.testing.assert_array_equal(raster.pixels, [DUAL["iw-grd-vv"], DUAL["iw-grd-vh"]])
    assert sum(reader.bytes_fetched for reader in (*image.index_objects, *image.objects)) < 2**19
