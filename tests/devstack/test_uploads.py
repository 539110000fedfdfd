"""Uploads of local files to a local stack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sarlens.devstack import uploads
from sarlens.devstack.seaweedfs import s3_client
from sarlens.devstack.state import StackInfo, lock_state
from sarlens.devstack.uploads import LocalStackUploader
from sarlens.errors import StartupError
from support.s3 import S3Server

URL = "http://localhost:8080"


@pytest.fixture
def state(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory whose S3 server is the tests' own."""
    credentials = {key: value for key, value in s3.environment.items() if key != "AWS_ENDPOINT_URL_S3"}
    monkeypatch.setattr(uploads, "s3_client", lambda endpoint: s3_client(endpoint, credentials))
    with lock_state(tmp_path / "state", StackInfo(pid=1, url=URL, s3_endpoint=s3.endpoint)):
        yield tmp_path / "state"


def read(s3: S3Server, url: str) -> bytes:
    """Return the object behind a URL whose key needs no escape."""
    return s3.client().get_object(Bucket="scenes", Key=url.removeprefix("s3://scenes/"))["Body"].read()


def test_the_key_is_the_hash_of_the_content(s3: S3Server, state: Path, tmp_path: Path) -> None:
    """The same content has the same URL, other content another one, and both are stored."""
    path = tmp_path / "a.tif"
    upload = LocalStackUploader(state, "http://127.0.0.1:8080/")
    path.write_bytes(b"one")
    first = upload(path)
    assert upload(path) == first
    digest = hashlib.sha256(f"a.tif\0{hashlib.sha256(b'one').hexdigest()}\0".encode()).hexdigest()[:32]
    assert first == f"s3://scenes/uploads/{digest}/a.tif"
    path.write_bytes(b"two")
    second = upload(path)
    assert (read(s3, first), read(s3, second)) == (b"one", b"two")


def test_a_stored_file_is_not_uploaded_again(s3: S3Server, state: Path, tmp_path: Path) -> None:
    """An object of the right size stays as it is; an incomplete one is replaced."""
    path = tmp_path / "b.tif"
    path.write_bytes(b"content")
    upload = LocalStackUploader(state, URL)
    key = upload(path).removeprefix("s3://scenes/")
    client = s3.client()
    before = client.head_object(Bucket="scenes", Key=key)["LastModified"]
    upload(path)
    assert client.head_object(Bucket="scenes", Key=key)["LastModified"] == before
    client.put_object(Bucket="scenes", Key=key, Body=b"cont")
    upload(path)
    assert client.get_object(Bucket="scenes", Key=key)["Body"].read() == b"content"


def test_characters_of_the_name_are_escaped(s3: S3Server, state: Path, tmp_path: Path) -> None:
    """A name with a space, a question mark and a percent sign is readable by its URL."""
    path = tmp_path / "port #1?50%.tif"
    path.write_bytes(b"x")
    url = LocalStackUploader(state, URL)(path)
    assert url.endswith("/port%20%231%3F50%25.tif")


def test_a_product_folder_is_uploaded_with_its_annotation(s3: S3Server, state: Path, tmp_path: Path) -> None:
    """Manifest, annotation and measurements are stored below one prefix, previews aren't; the URL is the manifest's."""
    product = tmp_path / "S1A.SAFE"
    for name in (
        "manifest.safe",
        "annotation/a.xml",
        "annotation/calibration/c.xml",
        "measurement/m.tiff",
        "preview/q.png",
    ):
        (product / name).parent.mkdir(parents=True, exist_ok=True)
        (product / name).write_text(name)
    url = LocalStackUploader(state, URL)(product)
    assert url.endswith("/S1A.SAFE/manifest.safe")
    prefix = url.removeprefix("s3://scenes/").removesuffix("manifest.safe")
    listed = s3.client().list_objects_v2(Bucket="scenes", Prefix=prefix)["Contents"]
    assert {item["Key"].removeprefix(prefix) for item in listed} == {
        "manifest.safe",
        "annotation/a.xml",
        "annotation/calibration/c.xml",
        "measurement/m.tiff",
    }


@pytest.mark.parametrize("url", ["http://localhost:9999", "http://gateway.example.com"])
def test_another_gateway_gets_no_upload(state: Path, tmp_path: Path, url: str) -> None:
    """A file isn't uploaded if the gateway that reads it isn't the stack's own."""
    (tmp_path / "a.tif").write_bytes(b"x")
    with pytest.raises(StartupError, match=f"must be in a bucket that the gateway at {url} reads"):
        LocalStackUploader(state, url)(tmp_path / "a.tif")


def test_without_a_stack_the_error_names_the_directory(tmp_path: Path) -> None:
    """Without a running stack the error names the directory and the option for another one."""
    with pytest.raises(StartupError, match=r"runs in .*/nothing; --state names another directory"):
        LocalStackUploader(tmp_path / "nothing", URL)(tmp_path / "a.tif")


def test_an_unreachable_server_is_one_sentence(tmp_path: Path) -> None:
    """An S3 server that doesn't answer is an error without a traceback."""
    (tmp_path / "a.tif").write_bytes(b"x")
    info = StackInfo(pid=1, url=URL, s3_endpoint="http://127.0.0.1:9")
    with lock_state(tmp_path, info), pytest.raises(StartupError, match=r"a\.tif can't be uploaded to http://127"):
        LocalStackUploader(tmp_path, URL)(tmp_path / "a.tif")
