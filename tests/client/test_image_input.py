"""Images as a caller passes them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from sarlens.client.errors import LocalImageError
from sarlens.client.image_input import MAX_INLINE_BYTES, is_url, to_image_url, to_remote_urls
from sarlens.settings import LimitSettings


@pytest.mark.parametrize("url", ["s3://scenes/a.tif", "https://host/a.tif", "http://host/a", "data:,x", "S3://b/k"])
async def test_urls_pass_unchanged(url: str) -> None:
    """A URL of any scheme goes to the gateway as it is."""
    assert is_url(url)
    assert await to_image_url(url, None) == url
    assert await to_remote_urls(url, None) == url


async def test_bytes_become_a_data_url() -> None:
    """The payload is the base64 of the bytes."""
    url = await to_image_url(b"\x00\xffpixels", None)
    head, _, payload = url.partition(",")
    assert head == "data:application/octet-stream;base64"
    assert base64.b64decode(payload) == b"\x00\xffpixels"


def test_the_limit_fits_into_a_request() -> None:
    """A file of the maximum size as base64 leaves room for the question in the gateway's default limit."""
    assert 0 < LimitSettings().max_body_bytes - MAX_INLINE_BYTES * 4 / 3 < 2 * 2**20


async def test_files_over_the_limit_are_uploaded(tmp_path: Path) -> None:
    """A file of the maximum size is sent; one byte more is uploaded, or rejected without an uploader."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"12345678")
    assert (await to_image_url(path, lambda _: "s3://x/y", max_inline_bytes=8)).startswith("data:")
    assert await to_image_url(path, lambda _: "s3://x/y", max_inline_bytes=7) == "s3://x/y"
    with pytest.raises(LocalImageError, match=r"a\.tif is larger than .*; upload it to a bucket .* s3:// URL"):
        await to_image_url(path, None, max_inline_bytes=7)


async def test_a_survey_uploads_every_file(tmp_path: Path) -> None:
    """A survey requires an uploader for a path, and never takes bytes."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"x")
    assert await to_remote_urls(str(path), lambda file: f"s3://b/{file.name}") == "s3://b/a.tif"
    with pytest.raises(LocalImageError, match="is a local file, which the gateway can't read; upload it"):
        await to_remote_urls(path, None)
    with pytest.raises(LocalImageError, match="not its bytes"):
        await to_remote_urls(b"x", lambda file: f"s3://b/{file.name}")


async def test_an_archive_is_uploaded(tmp_path: Path) -> None:
    """A small .zip goes to the uploader too: the gateway reads the product in it by its URL."""
    path = tmp_path / "S1A_X.zip"
    path.write_bytes(b"PK")
    assert await to_image_url(path, lambda file: f"s3://b/{file.name}") == "s3://b/S1A_X.zip"
    with pytest.raises(LocalImageError, match="is a ZIP archive, which the gateway can't read; upload it"):
        await to_image_url(path, None)


async def test_a_product_folder_is_uploaded(tmp_path: Path) -> None:
    """A folder with manifest.safe goes to the uploader; without one, the error says to upload it."""
    (tmp_path / "manifest.safe").write_text("<xml/>")
    assert await to_image_url(tmp_path, lambda file: f"s3://b/{file.name}") == f"s3://b/{tmp_path.name}"
    with pytest.raises(LocalImageError, match="is a product folder"):
        await to_image_url(tmp_path, None)


async def test_unreadable_files_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing, empty, irregular or unreadable file and another directory are reported by name."""
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name, message in (
        ("missing", "No such file or directory; an image is a file or an s3://, https:// or data: URL"),
        ("empty", "is empty"),
        ("fifo", "isn't a regular file"),
        ("folder", "has no file manifest.safe"),
    ):
        with pytest.raises(LocalImageError, match=message) as raised:
            await to_image_url(tmp_path / name, None)
        assert str(tmp_path / name) in str(raised.value)
    (tmp_path / "secret").write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LocalImageError, match="Permission denied"):
        await to_image_url(tmp_path / "secret", None)


async def test_the_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"x")
    assert (await to_image_url("~/a.png", None)).startswith("data:")
