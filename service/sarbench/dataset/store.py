"""Where a data set lies: a local directory or a prefix in S3, read through one interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from sarbench.errors import DatasetError

CHUNK_BYTES = 1 << 20
FAILURES = (BaseError, OSError)
"""What obstore raises when a listing or a read fails."""


def open_store(where: str) -> ObjectStore:
    """Open a directory or ``s3://bucket/prefix``.

    Credentials, region and endpoint of S3 come from boto3's chain; without credentials requests go unsigned.

    Raises:
        DatasetError: there is no such directory, or the address has another scheme or no bucket.
    """
    scheme, separator, rest = where.partition("://")
    if not separator:
        if not Path(where).is_dir():
            raise DatasetError(f"{where} is not a directory")
        return LocalStore(prefix=Path(where).absolute())
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise DatasetError(f"{where} is neither a directory nor s3://bucket/prefix")
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


def sizes(store: ObjectStore) -> dict[str, int]:
    """Every object's path, sorted, and its size in bytes.

    Raises:
        DatasetError: the store cannot be listed.
    """
    try:
        entries = [entry for batch in store.list(chunk_size=1000) for entry in batch]
    except FAILURES as error:
        raise DatasetError(f"the data set cannot be listed: {first_line(error)}") from error
    return {entry["path"]: entry["size"] for entry in sorted(entries, key=lambda entry: entry["path"])}


def read(store: ObjectStore, path: str) -> bytes:
    """One whole object.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return bytes(store.get(path).bytes())
    except FAILURES as error:
        raise DatasetError(f"{path} cannot be read: {first_line(error)}") from error


def chunks(store: ObjectStore, path: str) -> Iterator[bytes]:
    """An object in pieces of about a megabyte.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        for chunk in store.get(path).stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)
    except FAILURES as error:
        raise DatasetError(f"{path} cannot be read: {first_line(error)}") from error


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of an object, each with the newline that ends it."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def first_line(error: BaseException) -> str:
    """What an error says, without the dump that obstore puts beneath it."""
    return str(error).partition("\n")[0]
