"""Uploads of results to S3: whole files, conditions, and reasons."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sarlens.errors import AccessDenied, BadRequest, OutputExists, SarlensError, SourceUnavailable, Timeout
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.imagery.sources.s3_writer import S3Writer
from support.s3 import OWNER, READER, S3Server

GEOJSON = "application/geo+json"


def writer(s3: S3Server, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> S3Writer:
    """A writer with an access key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
    return S3Writer(S3StoreFactory(endpoint=s3.endpoint, region="us-east-1"))


async def put(upload: S3Writer, url: str, file: Path, job_id: str = "job", *, overwrite: bool = False) -> None:
    """Upload a file of a job."""
    await upload.put(url, file, job_id=job_id, media_type=GEOJSON, overwrite=overwrite)


def content(s3: S3Server, key: str) -> bytes:
    """Return the bytes of an object."""
    return s3.client().get_object(Bucket="scenes", Key=key)["Body"].read()


def open_uploads(s3: S3Server) -> list[Any]:
    """Return the multipart uploads that are neither complete nor aborted."""
    return list(s3.client().list_multipart_uploads(Bucket="scenes").get("Uploads", []))


@pytest.mark.parametrize("size", [0, 100, 12 * 2**20])
async def test_a_file_is_uploaded_whole(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Empty, small and large files arrive byte for byte with their media type, and replace an object if requested."""
    file = tmp_path / "answers.geojson"
    for seed in (1, 2):
        file.write_bytes(random.Random(seed).randbytes(size))
        upload = writer(s3, OWNER, monkeypatch)
        await put(upload, "s3://scenes/results/two%20words.geojson", file, str(seed), overwrite=True)
        response = s3.client().get_object(Bucket="scenes", Key="results/two words.geojson")
        assert (response["ContentType"], response["Metadata"]) == (GEOJSON, {"sarlens-job": str(seed)})
        assert response["Body"].read() == file.read_bytes()


async def test_an_object_is_not_replaced(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of another job, and one without a job, raise OutputExists and keep their bytes. No upload stays."""
    upload = writer(s3, OWNER, monkeypatch)
    s3.client().put_object(Bucket="scenes", Key="kept/foreign", Body=b"foreign")
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    await put(upload, "s3://scenes/kept/own", tmp_path / "a", "job-a")
    (tmp_path / "large").write_bytes(bytes(9 * 2**20))
    for key, body in (("kept/own", b"a"), ("kept/foreign", b"foreign")):
        for name in ("b", "large"):
            with pytest.raises(OutputExists) as raised:
                await put(upload, f"s3://scenes/{key}", tmp_path / name, "job-b")
            assert raised.value.param == "output"
            assert content(s3, key) == body
    await put(upload, "s3://scenes/kept/own", tmp_path / "b", "job-a")  # the same job, after a restart
    assert content(s3, "kept/own") == b"a"
    assert open_uploads(s3) == []


async def test_one_of_many_concurrent_writers_wins(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight jobs that write to one URL at the same time, one succeeds and seven raise OutputExists."""
    upload = writer(s3, OWNER, monkeypatch)
    files = [tmp_path / str(number) for number in range(8)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 100_000)
    writes = (put(upload, "s3://scenes/race", file, file.name) for file in files)
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results].count(OutputExists) == 7
    assert content(s3, "race") == files[results.index(None)].read_bytes()


async def test_a_store_without_conditions(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store doesn't implement If-None-Match, a missing object is written, and an existing one is kept."""
    upload = writer(s3, OWNER, monkeypatch)
    client = await upload._stores.client()
    put_object = client.put_object

    def without_conditions(**arguments: Any) -> Any:
        if "IfNoneMatch" in arguments:
            raise ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
        return put_object(**arguments)

    monkeypatch.setattr(client, "put_object", without_conditions)
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    await put(upload, "s3://scenes/plain", tmp_path / "a", "job-a")
    with pytest.raises(OutputExists):
        await put(upload, "s3://scenes/plain", tmp_path / "b", "job-b")
    assert content(s3, "plain") == b"a"


async def test_a_check_writes_nothing(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of a free URL succeeds and leaves neither an object nor an upload; an existing object needs overwrite."""
    upload = writer(s3, OWNER, monkeypatch)
    await upload.check("s3://scenes/checked/new", overwrite=False)
    assert s3.client().list_objects_v2(Bucket="scenes", Prefix="checked/")["KeyCount"] == 0
    assert open_uploads(s3) == []
    s3.client().put_object(Bucket="scenes", Key="checked/old", Body=b"old")
    await upload.check("s3://scenes/checked/old", overwrite=True)
    with pytest.raises(OutputExists) as raised:
        await upload.check("s3://scenes/checked/old", overwrite=False)
    assert raised.value.message == (
        'The output s3://scenes/checked/old exists. Choose another one, or set "overwrite" to true.'
    )


REJECTED: list[tuple[str, tuple[str, str], type[SarlensError], str]] = [
    ("s3://scenes", OWNER, BadRequest, "The s3:// URL is invalid: it names a bucket but no object."),
    (
        "s3://no-such-bucket/x.geojson",
        OWNER,
        BadRequest,
        "s3://no-such-bucket/x.geojson can't be written: the bucket doesn't exist.",
    ),
    (
        "s3://scenes/x.geojson",
        READER,
        AccessDenied,
        "s3://scenes/x.geojson can't be written: the store denies the gateway access to it.",
    ),
]


@pytest.mark.parametrize(("url", "keys", "error_cls", "message"), REJECTED)
async def test_a_rejected_output_has_a_reason(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    keys: tuple[str, str],
    error_cls: type[SarlensError],
    message: str,
) -> None:
    """An invalid URL, a missing bucket and a denied bucket have different errors."""
    with pytest.raises(error_cls) as rejected:
        await writer(s3, keys, monkeypatch).check(url, overwrite=False)
    assert type(rejected.value) is error_cls
    assert rejected.value.message == message


async def test_a_denied_upload_has_a_reason(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload without the permission to write raises AccessDenied, also with overwrite."""
    (tmp_path / "x").write_bytes(b"x")
    for overwrite in (False, True):
        with pytest.raises(AccessDenied, match=r"^s3://scenes/x can't be written: the store denies"):
            await put(writer(s3, READER, monkeypatch), "s3://scenes/x", tmp_path / "x", overwrite=overwrite)


async def test_an_unreachable_store_is_a_passing_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that doesn't accept connections raises SourceUnavailable with the output as its field."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    upload = S3Writer(S3StoreFactory(endpoint="http://127.0.0.1:9", region="us-east-1", timeout_s=1.0))
    with pytest.raises((SourceUnavailable, Timeout)) as raised:
        await upload.check("s3://scenes/x", overwrite=False)
    assert raised.value.param == "output"
