"""Images in data: URLs."""

from __future__ import annotations

import asyncio
import base64
import re
import tracemalloc
from collections.abc import Callable

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.imagery.sources.data_url import DataUrlSource

LIMIT = 1000
source = DataUrlSource(LIMIT)


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
async def test_a_url_is_decoded(url: str, data: bytes) -> None:
    """Base64 with or without whitespace, and percent-encoded octets, are decoded as RFC 2397 defines."""
    reader = await source.open(url)
    assert reader.read(0, reader.size) == data
    assert reader.read(1, 1) == data[1:2]
    assert reader.version == f"blake3:{blake3(data).hexdigest()}"
    assert (reader.name, reader.bytes_fetched, reader.fetch_seconds) == ("data:", 0, 0)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:", "the comma is missing"),
        ("data:image/png;base64", "the comma is missing"),
        ("data:image/png;base64,A", "is truncated"),
        ("data:image/png;base64,AAE", "is truncated"),
        ("data:image/png;base64,AAE=AAEC", "invalid characters"),
        ("data:image/png;base64,-_-_", "invalid characters"),
        ("data:image/png;base64,AA!C", "invalid characters"),
        ("data:image/png;base64,ÄAEC", "characters that aren't ASCII"),
        ("data:,\ud800", "characters that aren't ASCII"),
    ],
)
async def test_an_invalid_url_is_rejected(url: str, reason: str) -> None:
    """Invalid base64 and characters that aren't ASCII are rejected with the reason."""
    with pytest.raises(BadRequest, match=reason):
        await source.open(url)


def test_base64_follows_rfc_4648() -> None:
    """Text is decoded to the same bytes as by Python if it is RFC 4648's base64 with padding, else rejected."""
    valid = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

    async def decoded(text: str) -> bytes | None:
        try:
            reader = await source.open(f"data:;base64,{text}")
        except BadRequest:
            return None
        return reader.read(0, reader.size)

    with asyncio.Runner() as runner:

        @settings(max_examples=400, deadline=None)
        @given(
            st.text(st.sampled_from("AZaz09+/=-_ !"), max_size=80)
            | st.binary().map(lambda data: base64.b64encode(data).decode())
        )
        def fuzz(text: str) -> None:
            encoded = text.replace(" ", "")
            expected = base64.b64decode(encoded) if valid.fullmatch(encoded) else None
            assert runner.run(decoded(text)) == expected

        fuzz()


@pytest.mark.parametrize(
    "encode", [lambda data: ";base64," + base64.b64encode(data).decode(), lambda data: "," + "x" * len(data)]
)
async def test_the_size_is_limited(encode: Callable[[bytes], str]) -> None:
    """The last byte within the limit is accepted; one more byte rejects the image."""
    for size in (LIMIT - 2, LIMIT - 1, LIMIT):
        assert (await source.open("data:" + encode(bytes(size)))).size == size
    for size in (LIMIT + 1, LIMIT + 2, LIMIT + 3, 2 * LIMIT):
        with pytest.raises(PayloadTooLarge, match="exceeds the limit of 1000 bytes"):
            await source.open("data:" + encode(bytes(size)))


async def test_percent_encoding_is_limited() -> None:
    """65,536 percent-encoded bytes are decoded; 20 million are rejected without a list of their parts."""
    large = DataUrlSource(2**26)
    assert (await large.open("data:," + "%41" * 65_536)).size == 65_536
    tracemalloc.start()
    with pytest.raises(PayloadTooLarge, match="Encode the image in base64"):
        await large.open("data:," + "%41" * 20_000_000)
    assert tracemalloc.get_traced_memory()[1] < 250 * 2**20
    tracemalloc.stop()


async def test_whitespace_of_large_images_is_removed() -> None:
    """Base64 of 3 MB in lines of 76 characters is decoded, also where pieces of 1 MiB meet."""
    data = bytes(range(256)) * 12_000
    reader = await DataUrlSource(2**26).open("data:;base64," + base64.encodebytes(data).decode())
    assert reader.read(0, reader.size) == data


@pytest.mark.parametrize("chars", [1000, 2**21 - 4, 2**21, 2**21 + 4])
async def test_short_and_long_urls_are_decoded_alike(chars: int) -> None:
    """URLs below and above 2 MiB, which is decoded on the event loop, have the same bytes in strict and lax base64."""
    head = "data:image/png;base64,"
    encoded = "AAEC" * ((chars - len(head)) // 4)
    large = DataUrlSource(2**26)
    for url in (head + encoded, head + encoded + "\n"):
        reader = await large.open(url)
        assert reader.read(0, reader.size) == b"\0\1\2" * (len(encoded) // 4)
        with pytest.raises(BadRequest, match="invalid characters"):
            await large.open(url + "!AEC")


async def test_strict_base64_is_decoded_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A usual URL of 1.5 MB, and 2 MB of bytes, need no thread, whose start and switches cost more; 3 MB do."""

    async def no_thread(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(asyncio, "to_thread", no_thread)
    reader = await DataUrlSource(2**26).open("data:image/png;base64," + "AAEC" * 375_000)
    assert reader.size == 1_125_000
    assert (await DataUrlSource(2**26).open_bytes(bytes(2 * 2**20))).size == 2 * 2**20
    with pytest.raises(AssertionError):
        await DataUrlSource(2**26).open_bytes(bytes(3 * 2**20))
