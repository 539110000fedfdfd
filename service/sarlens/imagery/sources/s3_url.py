"""``s3://`` URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from sarlens.errors import BadRequest
from sarlens.types.image_request import MAX_URL_CHARS

_URL = re.compile(r"s3://([^/?#]*)/?([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class S3Url:
    """One object of a bucket, and optionally one version of the object.

    The key of a URL is percent-decoded: ``%20`` is a space, ``%23`` a ``#``, ``%3F`` a ``?`` and ``%25`` a ``%``.
    Spaces and non-ASCII letters are also accepted as they are.
    """

    bucket: str
    """Name of the bucket."""
    key: str
    """Key of the object, decoded."""
    version: str | None = None
    """Value of ``versionId``, decoded."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, url: str) -> S3Url:
        """Parse ``s3://bucket/key`` or ``s3://bucket/key?versionId=id``.

        Raises:
            BadRequest: the URL has another form, or no object can have such a key.
        """
        if len(url) > MAX_URL_CHARS:
            _reject(f"it has more than {MAX_URL_CHARS} characters")
        parts = _URL.fullmatch(url)
        if parts is None:
            _reject("it must have the form s3://bucket/key?versionId=id, with # encoded as %23")
        bucket, key, query = parts.groups()
        if _BUCKET.fullmatch(bucket) is None:
            _reject("a bucket name consists of 3 to 63 lowercase letters, digits, dots and hyphens")
        return cls(bucket, _parse_key(key), _parse_version(query))


def _parse_key(encoded: str) -> str:
    if not encoded:
        _reject("it names a bucket but no object")
    key = _decode(encoded)
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        _reject("keys with empty, '.' or '..' segments aren't supported")
    if len(key.encode()) > _MAX_KEY_BYTES:
        _reject(f"a key has at most {_MAX_KEY_BYTES} bytes")
    return key


def _parse_version(query: str | None) -> str | None:
    if query is None:
        return None
    name, _, value = query.partition("=")
    if name != "versionId" or not value or "&" in value:
        _reject("its query can only contain one versionId; encode a ? of the key as %3F")
    return _decode(value)


def _decode(encoded: str) -> str:
    if _STRAY_PERCENT.search(encoded):
        _reject("a % of the key must be encoded as %25")
    try:
        text = unquote_to_bytes(encoded).decode()
    except UnicodeError:
        _reject("its percent-encoding isn't UTF-8")
    if _CONTROL_CHARACTER.search(text):
        _reject("it contains control characters")
    return text


def _reject(reason: str) -> NoReturn:
    raise BadRequest(f"The s3:// URL is invalid: {reason}.") from None
