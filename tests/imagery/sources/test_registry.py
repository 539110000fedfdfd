"""The registry of sources."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarlens.errors import PayloadTooLarge, SarlensError, SourceNotAllowed
from sarlens.imagery.core.cache import BlockCache, LRUCache
from sarlens.imagery.sources.data_url import DataUrlSource
from sarlens.imagery.sources.https import open_https
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory

LIMIT = 1000
data_urls = DataUrlSource(LIMIT)
registry = SourceRegistry({"data": data_urls}, data_urls, public={"https"})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "port.tif",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://example.com/port.tif",
        "ftp://example.com/port.tif",
        "gopher:x",
        " data:,x",
        "blob:data:,x",
        "C:\\port.tif",
        "https:",
    ],
)
async def test_other_schemes_are_rejected(url: str) -> None:
    """A URL of another scheme is rejected, and the error lists the schemes without repeating the URL."""
    with pytest.raises(SourceNotAllowed) as rejected:
        await registry.open(url)
    assert rejected.value.message == "The URL of an image must begin with one of data:"


async def test_bytes_are_opened_as_a_data_url_is() -> None:
    """Bytes that came with a request have the version of the same bytes in a URL, and the same limit."""
    reader, same = await registry.open(b"two words"), await registry.open("data:,two%20words")
    assert (reader.read(0, reader.size), reader.version) == (b"two words", same.version)
    with pytest.raises(PayloadTooLarge) as rejected:
        await registry.open(bytes(LIMIT + 1))
    assert rejected.value.message == "The image exceeds the limit of 1000 bytes."


def test_public_schemes() -> None:
    """A URL of a public scheme is public, in any case; other URLs and bytes aren't."""
    urls = ("https://e.com/a", "HTTPS://e.com/a", "s3://a/b", "data:,x", b"https://e.com/a")
    assert [registry.is_public(url) for url in urls] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "prefix", ["", "data:", "data:;base64,", "s3://", "s3://scenes/", "https://", "https://example.com"]
)
def test_any_text_is_opened_or_rejected(prefix: str) -> None:
    """Any text is opened or rejected with an error of the error tree."""
    blocks: BlockCache = LRUCache(0, getsizeof=len)
    s3 = S3Source(S3StoreFactory(endpoint="http://127.0.0.1:9"), blocks, buckets=("none-of-these",))

    async def open_any(text: str) -> None:
        async with open_https(blocks, hosts=("nobody.invalid",), max_bytes=LIMIT) as https:
            with suppress(SarlensError):
                await SourceRegistry({"s3": s3, "https": https, "data": data_urls}, data_urls).open(prefix + text)

    with asyncio.Runner() as runner:

        @settings(max_examples=80, deadline=None)
        @given(st.text() | st.text(st.sampled_from("/:@?#[]%.=&\\ \n\0aA1é")))
        def fuzz(text: str) -> None:
            runner.run(open_any(text))

        fuzz()
