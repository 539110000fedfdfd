"""The front of all sources, and images that requests carry in themselves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarlens.errors import BadRequest, SarlensError, SourceRefused, TooLarge
from sarlens.imagery.cache import Blocks, ByteLRU
from sarlens.imagery.data import Data
from sarlens.imagery.https import open_https
from sarlens.imagery.s3 import S3
from sarlens.imagery.s3_account import Account
from sarlens.imagery.source import Sources

LIMIT = 1000
data_urls = Data(LIMIT)
sources = Sources({"data": data_urls}, data_urls)


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
        "/vsicurl/http://example.com",
        " data:,x",
        "blob:data:,x",
        "C:\\port.tif",
        "https:",
    ],
)
async def test_other_schemes_are_refused(url: str) -> None:
    """A URL of a scheme that is not offered is refused, and the answer says which are."""
    with pytest.raises(SourceRefused, match="data:") as refused:
        await sources.open(url)
    assert "passwd" not in refused.value.message


async def test_bytes_are_an_image_themselves() -> None:
    """Bytes that came with a request are the image, up to the limit, and the same as in a URL."""
    blob, same = await sources.open(b"two words"), await sources.open("data:,two%20words")
    assert (blob.read(0, blob.size), blob.version) == (b"two words", same.version)
    with pytest.raises(TooLarge):
        await sources.open(bytes(LIMIT + 1))


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:image/png;base64,AAECAw==", b"\0\1\2\3"),
        ("DATA:;BASE64,AAEC", b"\0\1\2"),
        ("data:,two%20words", b"two words"),
        ("data:image/svg+xml;charset=utf-8,a,b", b"a,b"),
        ("data:image/png; base64 , AA EC\r\n\tAw == ", b"\0\1\2\3"),
        ("data:image/png;base64,%2B%2F8%3D", b"\xfb\xff"),
        ("data:image/png;base64,", b""),
        ("data:;base64x,AAEC", b"AAEC"),
    ],
)
async def test_bytes_are_unpacked(url: str, data: bytes) -> None:
    """A data: URL is read as RFC 2397 has it: base64 with or without spaces, or percent-encoded octets."""
    blob = await sources.open(url)
    assert blob.read(0, blob.size) == data
    assert blob.read(1, 1) == data[1:2]
    assert blob.version == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (blob.name, blob.bytes_moved) == ("data:", 0)


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png;base64",
        "data:image/png;base64,A",
        "data:image/png;base64,AAE",
        "data:image/png;base64,AAE=AAEC",
        "data:image/png;base64,-_-_",
        "data:image/png;base64,AA!C",
        "data:image/png;base64,ÄAEC",
        "data:,\ud800",
    ],
)
async def test_broken_data_is_refused(url: str) -> None:
    """What is no base64, or no ASCII, is a bad request."""
    with pytest.raises(BadRequest):
        await sources.open(url)


def test_base64_is_that_of_the_standard_alone() -> None:
    """What is unpacked is RFC 4648's base64 with its padding, to the same bytes as by Python; all else is refused."""
    whole = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

    async def unpacked(text: str) -> bytes | None:
        try:
            blob = await sources.open(f"data:;base64,{text}")
        except BadRequest:
            return None
        return blob.read(0, blob.size)

    with asyncio.Runner() as runner:

        @settings(max_examples=400, deadline=None)
        @given(
            st.text(st.sampled_from("AZaz09+/=-_ !"), max_size=80)
            | st.binary().map(lambda data: base64.b64encode(data).decode())
        )
        def fuzz(text: str) -> None:
            packed = text.replace(" ", "")
            expected = base64.b64decode(packed) if whole.fullmatch(packed) else None
            assert runner.run(unpacked(text)) == expected

        fuzz()


@pytest.mark.parametrize(
    "pack", [lambda data: ";base64," + base64.b64encode(data).decode(), lambda data: "," + "x" * len(data)]
)
async def test_data_is_limited(pack: Callable[[bytes], str]) -> None:
    """The last byte within the limit is taken, the first above it refuses the whole."""
    for size in (LIMIT - 2, LIMIT - 1, LIMIT):
        assert (await sources.open("data:" + pack(bytes(size)))).size == size
    for size in (LIMIT + 1, LIMIT + 2, LIMIT + 3, 2 * LIMIT):
        with pytest.raises(TooLarge, match="1000 bytes"):
            await sources.open("data:" + pack(bytes(size)))


@pytest.mark.parametrize(
    "front", ["", "data:", "data:;base64,", "s3://", "s3://scenes/", "https://", "https://example.com"]
)
def test_no_url_breaks_the_front(front: str) -> None:
    """Any text at all is opened or refused with an error of the tree."""
    blocks: Blocks = ByteLRU(0, weigh=len)
    s3 = S3(Account(endpoint="http://127.0.0.1:9"), blocks, buckets=("no-such-bucket-is-asked",))

    async def opens(text: str) -> None:
        async with open_https(blocks, hosts=("nobody.invalid",), limit=LIMIT) as https:
            with suppress(SarlensError):
                await Sources({"s3": s3, "https": https, "data": data_urls}, data_urls).open(front + text)

    with asyncio.Runner() as runner:

        @settings(max_examples=80, deadline=None)
        @given(st.text() | st.text(st.sampled_from("/:@?#[]%.=&\\ \n\0aA1é")))
        def fuzz(text: str) -> None:
            runner.run(opens(text))

        fuzz()
