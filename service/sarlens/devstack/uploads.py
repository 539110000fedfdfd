"""Uploads of local files to the S3 server of a local stack."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from sarlens.devstack.seaweedfs import BUCKET, s3_client
from sarlens.devstack.state import read_running_stack
from sarlens.errors import StartupError

_PREFIX = "uploads"
_PRODUCT_FILES = ("manifest.safe", "annotation/**/*", "measurement/*")
_LOCAL_HOSTS = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")


class UploadFailed(StartupError):
    """A local file can't be uploaded."""


class LocalStackUploader:
    """Uploads files to the bucket of the local stack that holds a state directory.

    The key of a file begins with the hash of its content: the same file is uploaded once, and no upload replaces
    another file.

    Args:
        state: state directory of the local stack.
        gateway_url: base URL of the gateway that reads the file; it must be the stack's own.
    """

    def __init__(self, state: Path, gateway_url: str) -> None:
        self._state = state
        self._gateway_url = gateway_url

    def __call__(self, path: Path) -> str:
        """Upload a file or a Sentinel-1 product folder, and return its ``s3://`` URL.

        Raises:
            UploadFailed: no local stack of this gateway is running, or the file can't be read or stored.
        """
        endpoint = self._endpoint(path)
        try:
            files = list(_files_of(path))
            prefix = f"{_PREFIX}/{_hash(files)}"
            client = s3_client(endpoint)
            for name, file in files:
                key = f"{prefix}/{name}"
                if not _is_stored(client, key, file.stat().st_size):
                    client.upload_file(str(file), BUCKET, key, Config=TransferConfig(use_threads=False))
        except OSError as error:
            raise UploadFailed(f"{error.filename or path}: {error.strerror}") from None
        except (BotoCoreError, ClientError, boto3.exceptions.S3UploadFailedError) as error:
            raise UploadFailed(f"{path} can't be uploaded to {endpoint}: {error}") from None
        key = f"{prefix}/{path.name}/manifest.safe" if path.is_dir() else f"{prefix}/{path.name}"
        return f"s3://{BUCKET}/{quote(key)}"

    def _endpoint(self, path: Path) -> str:
        stack = read_running_stack(self._state)
        if stack is None or stack.s3_endpoint is None or _address(stack.url) != _address(self._gateway_url):
            raise UploadFailed(
                f"{path} must be in a bucket that the gateway at {self._gateway_url} reads: upload it and pass its "
                f"s3:// URL. Files go to a local stack by themselves, but none of this gateway runs in {self._state}; "
                "--state names another directory"
            )
        return stack.s3_endpoint


def _address(url: str) -> str:
    """Return a base URL with one name for this machine."""
    return _LOCAL_HOSTS.sub("http://localhost", url.rstrip("/"))


def _files_of(path: Path) -> Iterator[tuple[str, Path]]:
    """Iterate over the files to upload, with their names below the prefix."""
    if not path.is_dir():
        yield path.name, path
        return
    for pattern in _PRODUCT_FILES:
        for file in sorted(path.glob(pattern)):
            if file.is_file():
                yield f"{path.name}/{file.relative_to(path).as_posix()}", file


def _hash(files: list[tuple[str, Path]]) -> str:
    """Return a hash of names and contents, 32 hexadecimal digits."""
    whole = hashlib.sha256()
    for name, path in files:
        with path.open("rb") as file:
            whole.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return whole.hexdigest()[:32]


def _is_stored(client: Any, key: str, size: int) -> bool:
    try:
        return bool(client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == size)
    except ClientError:
        return False
