"""Object store of a data set: one interface for a local directory and an S3 prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from sarbench.dataset.release_files import HOW_TO_GET_DATA
from sarbench.errors import DatasetError

CHUNK_BYTES = 1 << 20
STORE_ERRORS = (BaseError, OSError)
"""Exceptions that obstore raises when a listing or a read fails."""


def open_store(location: str) -> ObjectStore:
    """Open a directory or ``s3://bucket/prefix``.

    S3 credentials, region, and endpoint come from boto3's chain. Without credentials, requests are unsigned.

    Raises:
        DatasetError: the directory doesn't exist, or the URL has another scheme or no bucket.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        if not Path(location).is_dir():
            raise DatasetError(f"{location} is not a directory. {HOW_TO_GET_DATA}")
        return LocalStore(prefix=Path(location).absolute())
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise DatasetError(f"{location} must be a directory or s3://bucket/prefix")
    return _open_s3(bucket, prefix.strip("/"))


def _open_s3(bucket: str, prefix: str) -> S3Store:
    session = boto3.Session()
    endpoint = session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url
    signed = session.get_credentials() is not None
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=session.region_name or "us-east-1",
        endpoint=None if endpoint.endswith(".amazonaws.com") else endpoint,
        client_options={"allow_http": endpoint.startswith("http://")},
        skip_signature=not signed,
        credential_provider=Boto3CredentialProvider(session) if signed else None,
    )


def list_sizes(store: ObjectStore) -> dict[str, int]:
    """Map each object's path to its size in bytes, sorted by path.

    Raises:
        DatasetError: the store cannot be listed.
    """
    try:
        entries = [entry for batch in store.list(chunk_size=1000) for entry in batch]
    except STORE_ERRORS as error:
        raise DatasetError(f"the data set cannot be listed: {first_line(error)}") from error
    return {entry["path"]: entry["size"] for entry in sorted(entries, key=lambda entry: entry["path"])}


def read_object(store: ObjectStore, path: str) -> bytes:
    """Return the bytes of one object.

    Raises:
        DatasetError: the object cannot be read.
    """
    try:
        return bytes(store.get(path).bytes())
    except STORE_ERRORS as error:
        raise DatasetError(f"{path} cannot be read: {first_line(error)}") from error


def iter_chunks(store: ObjectStore, path: str) -> Iterator[bytes]:
    """Yield the bytes of one object in chunks of about 1 MiB.

    Raises:
        DatasetError: the object cannot be read.
    """
    try:
        for chunk in store.get(path).stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)
    except STORE_ERRORS as error:
        raise DatasetError(f"{path} cannot be read: {first_line(error)}") from error


def iter_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of an object, each with its newline."""
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line + b"\n"
    if rest:
        yield rest


def first_line(error: BaseException) -> str:
    """Return the first line of an error message, without debug output such as obstore's."""
    return str(error).partition("\n")[0]
