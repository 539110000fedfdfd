"""Images in a real S3 server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from types_boto3_s3 import S3Client

from sarlens.errors import (
    BadRequest,
    ImageNotFound,
    SarlensError,
    SourceChanged,
    SourceRefused,
    SourceUnavailable,
    Timeout,
    UnsupportedImage,
)
from sarlens.imagery.cache import Blocks, ByteLRU
from sarlens.imagery.s3 import BLOCK, S3
from sarlens.imagery.s3_account import Account
from sarlens.imagery.source import Blob
from stack.s3 import S3Server, s3_server
from stack.wire import Wire, wire

SCENE = random.Random(1).randbytes(5 * BLOCK + 1234)
BIG = 32 * 2**20


def s3_source(
    endpoint: str, *, cache: int = 2**24, fresh_s: float = 1.0, timeout_s: float = 5.0, buckets: tuple[str, ...] = ()
) -> S3:
    """A source with a cache of its own and the credentials of the environment."""
    blocks: Blocks = ByteLRU(cache, weigh=len)
    return S3(
        Account(endpoint=endpoint, timeout_s=timeout_s), blocks, timeout_s=timeout_s, fresh_s=fresh_s, buckets=buckets
    )


@pytest.fixture
def client(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """The owner of the server, whose keys are in the environment too."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.client()


@pytest.fixture
async def counted(s3: S3Server) -> AsyncIterator[Wire]:
    """The server behind a wire that counts."""
    async with wire(s3.endpoint) as between:
        yield between


async def test_any_range_is_read(s3: S3Server, client: S3Client) -> None:
    """Any range of an object reads as the same range of its bytes, cut at the end, whatever was read before."""
    client.put_object(Bucket="scenes", Key="scene", Body=SCENE)
    blob = await s3_source(s3.endpoint, cache=3 * BLOCK).open("s3://scenes/scene")
    assert (blob.name, blob.size) == ("s3://scenes/scene", len(SCENE))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(SCENE) + 10), st.integers(0, len(SCENE) + 10))
    def reads(start: int, length: int) -> None:
        assert blob.read(start, length) == SCENE[start : start + length]

    reads()


async def test_a_read_of_many_requests_is_whole(s3: S3Server, client: S3Client) -> None:
    """A range longer than one request should be is put together from several."""
    body = SCENE * 60
    client.put_object(Bucket="scenes", Key="long", Body=body)
    blob = await s3_source(s3.endpoint).open("s3://scenes/long")
    assert blob.read(0, len(body)) == body
    assert blob.bytes_moved == len(body)


async def test_a_window_of_a_big_object_moves_few_bytes(client: S3Client, counted: Wire) -> None:
    """Reading 100 kB in the middle of 32 MB moves no more than the blocks that hold them, by count on the wire."""
    client.put_object(Bucket="scenes", Key="big", Body=bytes(BIG))
    blob = await s3_source(counted.url).open("s3://scenes/big")
    assert len(await asyncio.to_thread(blob.read, BIG // 2 + 1, 100_000)) == 100_000
    assert blob.bytes_moved == 3 * BLOCK
    assert blob.bytes_moved < counted.received < blob.bytes_moved + 4096
    assert blob.seconds > 0


async def test_what_was_read_once_moves_no_more(client: S3Client, counted: Wire) -> None:
    """An object opened again while it is fresh costs nothing, and later one answer without a body."""
    client.put_object(Bucket="scenes", Key="again", Body=SCENE)
    source = s3_source(counted.url, fresh_s=0.5)
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
    assert third.bytes_moved == 0
    assert 0 < counted.received - before[1] < 1024


async def test_concurrent_callers_share_one_look(client: S3Client, counted: Wire) -> None:
    """Fifty callers who open an object at the same time have its first block fetched once."""
    client.put_object(Bucket="scenes", Key="shared", Body=SCENE)
    source = s3_source(counted.url)
    blobs = await asyncio.gather(*(source.open("s3://scenes/shared") for _ in range(50)))
    assert sum(blob.bytes_moved for blob in blobs) == BLOCK
    assert counted.received < BLOCK + 2048
    assert len({blob.version for blob in blobs}) == 1


async def test_an_object_replaced_before_it_is_read_is_not_mixed(s3: S3Server, client: S3Client) -> None:
    """What was opened is never completed with bytes of its successor; the next request sees the successor at once."""
    client.put_object(Bucket="scenes", Key="changing", Body=SCENE)
    source = s3_source(s3.endpoint, fresh_s=60)
    old = await source.open("s3://scenes/changing")
    client.put_object(Bucket="scenes", Key="changing", Body=SCENE[::-1])
    with pytest.raises(SourceChanged, match="replaced"):
        old.read(2 * BLOCK, 10)
    new = await source.open("s3://scenes/changing")
    assert new.read(2 * BLOCK, 10) == SCENE[::-1][2 * BLOCK : 2 * BLOCK + 10]
    assert new.version != old.version


async def test_an_object_deleted_before_it_is_read_is_missing(s3: S3Server, client: S3Client) -> None:
    """An object that vanishes between opening and reading is reported as missing."""
    client.put_object(Bucket="scenes", Key="leaving", Body=SCENE)
    source = s3_source(s3.endpoint)
    blob = await source.open("s3://scenes/leaving")
    client.delete_object(Bucket="scenes", Key="leaving")
    with pytest.raises(ImageNotFound):
        blob.read(2 * BLOCK, 10)
    with pytest.raises(ImageNotFound):
        await source.open("s3://scenes/leaving")


async def test_an_old_version_is_read_for_good(client: S3Client, counted: Wire) -> None:
    """`versionId` reads that version after it was replaced, and never asks again whether it still holds."""
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket="versioned", Key="scene", Body=SCENE)["VersionId"]
    client.put_object(Bucket="versioned", Key="scene", Body=b"new")
    source = s3_source(counted.url, fresh_s=0)
    blob = await source.open(f"s3://versioned/scene?versionId={old}")
    assert await asyncio.to_thread(blob.read, 0, len(SCENE)) == SCENE
    received = counted.received
    assert (await source.open(f"s3://versioned/scene?versionId={old}")).version == blob.version
    assert counted.received == received
    assert (await source.open("s3://versioned/scene")).size == 3
    with pytest.raises(ImageNotFound, match="no such version"):
        await source.open("s3://versioned/scene?versionId=nonsense")


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("two words.tif", "two%20words.tif"),
        ("two words.tif", "two words.tif"),
        ("Göteborg/東京.tif", "Göteborg/東京.tif"),
        ("Göteborg/東京.tif", "G%C3%B6teborg/%E6%9D%B1%E4%BA%AC.tif"),
        ("a#b?c&d=e+f%20g.tif", "a%23b%3Fc&d=e+f%2520g.tif"),
        ("~[x]*'(!)'|\\\"<>^`{}", "~[x]*'(!)'|\\\"<>^`{}"),
    ],
)
async def test_keys_of_any_letters_are_found(s3: S3Server, client: S3Client, key: str, written: str) -> None:
    """An object is found under its key, whatever letters that has and however the URL writes them."""
    client.put_object(Bucket="scenes", Key=key, Body=key.encode())
    blob = await s3_source(s3.endpoint).open(f"s3://scenes/{written}")
    assert blob.read(0, blob.size) == key.encode()


@pytest.mark.parametrize(
    ("url", "kind", "reason"),
    [
        ("s3://scenes/nothing.tif", ImageNotFound, "no such object"),
        ("s3://no-such-bucket/port.tif", ImageNotFound, "no such bucket"),
        ("s3://scenes/empty", UnsupportedImage, "empty"),
        ("s3://scenes", BadRequest, "no object"),
    ],
)
async def test_what_is_not_there_is_named(
    s3: S3Server, client: S3Client, url: str, kind: type[SarlensError], reason: str
) -> None:
    """A missing object, a missing bucket and an empty object are told apart."""
    client.put_object(Bucket="scenes", Key="empty", Body=b"")
    with pytest.raises(kind, match=reason):
        await s3_source(s3.endpoint).open(url)


async def test_only_listed_buckets_are_read(s3: S3Server, client: S3Client) -> None:
    """Where buckets are listed, no other is asked for."""
    source = s3_source(s3.endpoint, buckets=("scenes",))
    assert (await source.open("s3://scenes/ready")).size == 5
    with pytest.raises(SourceRefused, match="closed"):
        await source.open("s3://closed/ready")


async def test_a_silent_store_costs_no_more_than_its_time(client: S3Client, counted: Wire) -> None:
    """A store that stops answering is given up after the timeout, on opening and on reading."""
    client.put_object(Bucket="scenes", Key="slow", Body=SCENE)
    source = s3_source(counted.url, timeout_s=2.0)
    blob = await source.open("s3://scenes/slow")
    counted.silent = True
    await _gives_up(Timeout, 6.0, lambda: source.open("s3://scenes/ready"))
    await _gives_up(Timeout, 6.0, lambda: asyncio.to_thread(blob.read, BLOCK, 10))
    counted.silent = False
    assert (await source.open("s3://scenes/ready")).size == 5


async def test_a_store_that_dies_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is gone is reported within the time limit, on opening and on reading."""
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.client().put_object(Bucket="scenes", Key="scene", Body=SCENE)
        source = s3_source(server.endpoint, fresh_s=0)
        blob = await source.open("s3://scenes/scene")
    await _gives_up(SourceUnavailable, 5.0, lambda: source.open("s3://scenes/scene"))
    await _gives_up(SourceUnavailable, 5.0, lambda: asyncio.to_thread(blob.read, BLOCK, 10))


async def _gives_up(kind: type[SarlensError], limit_s: float, ask: Callable[[], Awaitable[Blob | bytes]]) -> None:
    begun = time.monotonic()
    with pytest.raises(kind) as given_up:
        await ask()
    assert time.monotonic() - begun < limit_s
    assert type(given_up.value) is kind
    assert "127.0.0.1" not in given_up.value.message
