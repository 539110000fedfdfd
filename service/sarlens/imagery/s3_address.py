"""``s3://`` URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from sarlens.errors import BadRequest

_URL = re.compile(r"s3://([^/?#]*)/?([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """One object of a bucket, and one version of it if ``version`` is set.

    Written as a URL the key is percent-decoded: ``%20`` is a space, ``%23`` a ``#``, ``%3F`` a ``?`` and ``%25`` a
    ``%``; spaces and letters of any script may also stand as they are.
    """

    bucket: str
    key: str
    version: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``s3://bucket/key`` or ``s3://bucket/key?versionId=id``.

        Raises:
            BadRequest: it is not of that form, or no object can have such a key.
        """
        parts = _URL.fullmatch(url)
        if parts is None:
            _refuse("it has to be like s3://bucket/key?versionId=id, with # written as %23")
        bucket, key, query = parts.groups()
        if _BUCKET.fullmatch(bucket) is None:
            _refuse("a bucket's name has 3 to 63 small letters, digits, dots and hyphens")
        return cls(bucket, _key(key), _version(query))


def _key(written: str) -> str:
    if not written:
        _refuse("it names a bucket but no object in it")
    key = _decoded(written)
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        _refuse("a key with empty, '.' or '..' parts between slashes is not supported")
    if len(key.encode()) > _KEY_BYTES:
        _refuse(f"a key has at most {_KEY_BYTES} bytes")
    return key


def _version(query: str | None) -> str | None:
    if query is None:
        return None
    name, _, value = query.partition("=")
    if name != "versionId" or not value or "&" in value:
        _refuse("its query may hold one versionId and nothing else; a ? of the key is written as %3F")
    return _decoded(value)


def _decoded(written: str) -> str:
    if _STRAY_PERCENT.search(written):
        _refuse("a % of the key is written as %25")
    try:
        text = unquote_to_bytes(written).decode()
    except UnicodeError:
        _refuse("its percent-encoding has to give UTF-8")
    if _CONTROL.search(text):
        _refuse("it holds control characters")
    return text


def _refuse(reason: str) -> NoReturn:
    raise BadRequest(f"The s3:// URL of an image cannot be used: {reason}.") from None
