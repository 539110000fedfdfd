"""Images in a real S3 server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarlens.errors import (
    BadRequest,
    ImageNotFound,
    SarlensError,
    SourceChanged,
    SourceNotAllowed,
    SourceUnavailable,
    Timeout,
    UnsupportedImage,
)
from sarlens.imagery.core.cache import BlockCache, LRUCache
from sarlens.imagery.core.object_reader import ObjectReader, RangePrefetcher
from sarlens.imagery.sources.block_object import BLOCK
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from support.s3 import S3Server, s3_server
from support.tcp_proxy import TcpProxy, wire

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SCENE = random.Random(1).randbytes(5 * BLOCK + 1234)
BIG = 32 * 2**20


def s3_source(
    endpoint: str,
    *,
    cache: int = 2**24,
    ttl_s: float = 1.0,
    timeout_s: float = 5.0,
    first_read_bytes: int = BLOCK,
    buckets: tuple[str, ...] = (),
) -> S3Source:
    """A source with a cache of its own and the credentials of the environment."""
    blocks: BlockCache = LRUCache(cache, getsizeof=len)
    return S3Source(
        S3StoreFactory(endpoint=endpoint, timeout_s=timeout_s),
        blocks,
        timeout_s=timeout_s,
        metadata_ttl_s=ttl_s,
        first_read_bytes=first_read_bytes,
        buckets=buckets,
    )


@pytest.fixture
def client(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """A client with the owner's keys, which are in the environment too."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.client()


@pytest.fixture
async def counted(s3: S3Server) -> AsyncIterator[TcpProxy]:
    """The server behind a proxy that counts bytes."""
    async with wire(s3.endpoint) as between:
        yield between


async def test_any_range_is_read(s3: S3Server, client: S3Client) -> None:
    """Any range of an object reads as the same range of its bytes, cut at the end, after any earlier reads."""
    client.put_object(Bucket="scenes", Key="scene", Body=SCENE)
    reader = await s3_source(s3.endpoint, cache=3 * BLOCK).open("s3://scenes/scene")
    assert (reader.name, reader.size) == ("s3://scenes/scene", len(SCENE))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(SCENE) + 10), st.integers(0, len(SCENE) + 10))
    def reads(start: int, length: int) -> None:
        assert reader.read(start, length) == SCENE[start : start + length]

    await asyncio.to_thread(reads)


async def test_a_large_read_is_split_into_requests(s3: S3Server, client: S3Client) -> None:
    """A range longer than one request is joined from several."""
    body = SCENE * 60
    client.put_object(Bucket="scenes", Key="long", Body=body)
    reader = await s3_source(s3.endpoint).open("s3://scenes/long")
    assert await asyncio.to_thread(reader.read, 0, len(body)) == body
    assert reader.bytes_fetched == len(body)


async def test_a_range_of_a_large_object_fetches_few_bytes(client: S3Client, counted: TcpProxy) -> None:
    """100 kB in the middle of 32 MB fetch three blocks, by the count of the proxy too."""
    client.put_object(Bucket="scenes", Key="big", Body=bytes(BIG))
    reader = await s3_source(counted.url).open("s3://scenes/big")
    assert len(await asyncio.to_thread(reader.read, BIG // 2 + 1, 100_000)) == 100_000
    assert reader.bytes_fetched == 3 * BLOCK
    assert reader.bytes_fetched < counted.received < reader.bytes_fetched + 4096
    assert reader.fetch_seconds > 0


async def test_spans_that_are_fetched_together_need_no_further_request(client: S3Client, counted: TcpProxy) -> None:
    """Two spans in the blocks 1 and 3 are fetched before they are read, each block once."""
    client.put_object(Bucket="scenes", Key="spans", Body=SCENE)
    reader = await s3_source(counted.url).open("s3://scenes/spans")
    assert isinstance(reader, RangePrefetcher)
    spans = [(BLOCK + 5, BLOCK + 9), (BLOCK + 20, BLOCK + 21), (3 * BLOCK, 3 * BLOCK + 7)]
    await asyncio.to_thread(reader.prefetch, spans)
    assert reader.bytes_fetched == 3 * BLOCK  # the first block is fetched to open the object
    sent = counted.sent
    for start, stop in spans:
        assert await asyncio.to_thread(reader.read, start, stop - start) == SCENE[start:stop]
    assert counted.sent == sent


@pytest.mark.parametrize(("first_read_bytes", "blocks"), [(1, 1), (BLOCK + 1, 2), (3 * BLOCK, 3), (99 * BLOCK, 6)])
async def test_the_first_bytes_need_no_further_request(
    client: S3Client, counted: TcpProxy, first_read_bytes: int, blocks: int
) -> None:
    """Opening an object fetches whole blocks, up to its end; reading them needs no request, and the next byte one."""
    client.put_object(Bucket="scenes", Key="first", Body=SCENE)
    reader = await s3_source(counted.url, first_read_bytes=first_read_bytes).open("s3://scenes/first")
    fetched = min(blocks * BLOCK, len(SCENE))
    assert reader.bytes_fetched == fetched
    sent = counted.sent
    assert await asyncio.to_thread(reader.read, 0, fetched) == SCENE[:fetched]
    assert counted.sent == sent
    assert await asyncio.to_thread(reader.read, fetched - 1, 2) == SCENE[fetched - 1 : fetched + 1]
    assert (counted.sent > sent) == (fetched < len(SCENE))


async def test_cached_bytes_are_not_fetched_again(client: S3Client, counted: TcpProxy) -> None:
    """An object opened again costs no request while its metadata is fresh, and later one response without a body."""
    client.put_object(Bucket="scenes", Key="again", Body=SCENE)
    source = s3_source(counted.url, ttl_s=0.5)
    first = await source.open("s3://scenes/again")
    await asyncio.to_thread(first.read, 0, len(SCENE))
    before = counted.sent, counted.received
    second = await source.open("s3://scenes/again")
    assert await asyncio.to_thread(second.read, 0, len(SCENE)) == SCENE
    assert (counted.sent, counted.received) == before
    assert second.version == first.version
    await asyncio.sleep(0.6)
    third = await source.open("s3://scenes/again")
    assert await asyncio.to_thread(third.read, 0, len(SCENE)) == SCENE
    assert third.bytes_fetched == 0
    assert 0 < counted.received - before[1] < 1024


async def test_concurrent_callers_share_one_request(client: S3Client, counted: TcpProxy) -> None:
    """Fifty callers that open an object at once fetch its first block once."""
    client.put_object(Bucket="scenes", Key="shared", Body=SCENE)
    source = s3_source(counted.url)
    readers = await asyncio.gather(*(source.open("s3://scenes/shared") for _ in range(50)))
    assert sum(reader.bytes_fetched for reader in readers) == BLOCK
    assert counted.received < BLOCK + 2048
    assert len({reader.version for reader in readers}) == 1


async def test_a_replaced_object_is_not_mixed(s3: S3Server, client: S3Client) -> None:
    """An opened object never gets bytes of its successor; the next request opens the successor at once."""
    client.put_object(Bucket="scenes", Key="changing", Body=SCENE)
    source = s3_source(s3.endpoint, ttl_s=60)
    old = await source.open("s3://scenes/changing")
    client.put_object(Bucket="scenes", Key="changing", Body=SCENE[::-1])
    with pytest.raises(SourceChanged, match="replaced"):
        await asyncio.to_thread(old.read, 2 * BLOCK, 10)
    new = await source.open("s3://scenes/changing")
    assert await asyncio.to_thread(new.read, 2 * BLOCK, 10) == SCENE[::-1][2 * BLOCK : 2 * BLOCK + 10]
    assert new.version != old.version


async def test_a_deleted_object_is_missing(s3: S3Server, client: S3Client) -> None:
    """An object that is deleted between opening and reading is reported as missing."""
    client.put_object(Bucket="scenes", Key="leaving", Body=SCENE)
    source = s3_source(s3.endpoint)
    reader = await source.open("s3://scenes/leaving")
    client.delete_object(Bucket="scenes", Key="leaving")
    with pytest.raises(ImageNotFound):
        await asyncio.to_thread(reader.read, 2 * BLOCK, 10)
    with pytest.raises(ImageNotFound):
        await source.open("s3://scenes/leaving")


async def test_a_version_id_is_never_revalidated(client: S3Client, counted: TcpProxy) -> None:
    """`versionId` reads that version after it was replaced, and its metadata is never requested again."""
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket="versioned", Key="scene", Body=SCENE)["VersionId"]
    client.put_object(Bucket="versioned", Key="scene", Body=b"new")
    source = s3_source(counted.url, ttl_s=0)
    reader = await source.open(f"s3://versioned/scene?versionId={old}")
    assert await asyncio.to_thread(reader.read, 0, len(SCENE)) == SCENE
    received = counted.received
    assert (await source.open(f"s3://versioned/scene?versionId={old}")).version == reader.version
    assert counted.received == received
    assert (await source.open("s3://versioned/scene")).size == 3
    with pytest.raises(ImageNotFound, match="no such version"):
        await source.open("s3://versioned/scene?versionId=nonsense")


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("two words.tif", "two%20words.tif"),
        ("two words.tif", "two words.tif"),
        ("Göteborg/東京.tif", "Göteborg/東京.tif"),
        ("Göteborg/東京.tif", "G%C3%B6teborg/%E6%9D%B1%E4%BA%AC.tif"),
        ("a#b?c&d=e+f%20g.tif", "a%23b%3Fc&d=e+f%2520g.tif"),
        ("~[x]*'(!)'|\\\"<>^`{}", "~[x]*'(!)'|\\\"<>^`{}"),
    ],
)
async def test_keys_of_any_script_are_found(s3: S3Server, client: S3Client, key: str, encoded: str) -> None:
    """An object is found under its key, with any letters and any encoding of the URL."""
    client.put_object(Bucket="scenes", Key=key, Body=key.encode())
    reader = await s3_source(s3.endpoint).open(f"s3://scenes/{encoded}")
    assert await asyncio.to_thread(reader.read, 0, reader.size) == key.encode()


@pytest.mark.parametrize(
    ("url", "error_cls", "reason"),
    [
        ("s3://scenes/nothing.tif", ImageNotFound, "the object doesn't exist"),
        ("s3://no-such-bucket/port.tif", ImageNotFound, "the bucket doesn't exist"),
        ("s3://scenes/empty", UnsupportedImage, "empty"),
        ("s3://scenes", BadRequest, "no object"),
    ],
)
async def test_missing_objects_have_reasons(
    s3: S3Server, client: S3Client, url: str, error_cls: type[SarlensError], reason: str
) -> None:
    """A missing object, a missing bucket and an empty object have different reasons."""
    client.put_object(Bucket="scenes", Key="empty", Body=b"")
    with pytest.raises(error_cls, match=reason):
        await s3_source(s3.endpoint).open(url)


async def test_only_allowed_buckets_are_read(s3: S3Server, client: S3Client) -> None:
    """With a list of buckets, no other is requested."""
    source = s3_source(s3.endpoint, buckets=("scenes",))
    assert (await source.open("s3://scenes/ready")).size == 5
    with pytest.raises(SourceNotAllowed, match="closed"):
        await source.open("s3://closed/ready")


async def test_a_silent_store_times_out(client: S3Client, counted: TcpProxy) -> None:
    """A store that stops responding times out, on opening and on reading."""
    client.put_object(Bucket="scenes", Key="slow", Body=SCENE)
    source = s3_source(counted.url, timeout_s=2.0)
    reader = await source.open("s3://scenes/slow")
    counted.silent = True
    await _fails_within(Timeout, 6.0, lambda: source.open("s3://scenes/ready"))
    await _fails_within(Timeout, 6.0, lambda: asyncio.to_thread(reader.read, BLOCK, 10))
    counted.silent = False
    assert (await source.open("s3://scenes/ready")).size == 5


async def test_a_stopped_store_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is gone is reported within the time limit, on opening and on reading."""
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.client().put_object(Bucket="scenes", Key="scene", Body=SCENE)
        source = s3_source(server.endpoint, ttl_s=0)
        reader = await source.open("s3://scenes/scene")
    await _fails_within(SourceUnavailable, 5.0, lambda: source.open("s3://scenes/scene"))
    await _fails_within(SourceUnavailable, 5.0, lambda: asyncio.to_thread(reader.read, BLOCK, 10))


async def _fails_within(
    error_cls: type[SarlensError], limit_s: float, request: Callable[[], Awaitable[ObjectReader | bytes]]
) -> None:
    started_at = time.monotonic()
    with pytest.raises(error_cls) as failed:
        await request()
    assert time.monotonic() - started_at < limit_s
    assert type(failed.value) is error_cls
    assert "127.0.0.1" not in failed.value.message
