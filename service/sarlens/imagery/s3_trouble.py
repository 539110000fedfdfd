"""What went wrong at an S3 store, in words for a caller. The store's own words stay here: they may hold secrets."""

from __future__ import annotations

import re
from typing import TypeAlias

from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from sarlens.errors import (
    AccessDenied,
    ImageNotFound,
    SarlensError,
    SourceChanged,
    SourceUnavailable,
    StoreCredentials,
    Timeout,
    UnsupportedImage,
)
from sarlens.imagery.s3_address import Address

Meaning: TypeAlias = tuple[type[SarlensError], str]

_CHANGED: Meaning = (SourceChanged, "it was replaced while it was being read; the next request reads the new one")
_ELSEWHERE: Meaning = (SourceUnavailable, "its bucket is in another region than the gateway is set to")
_LOST: Meaning = (SourceUnavailable, "the store cannot be reached, or broke off")

STORE_ERRORS = (BaseError, OSError, ValueError)
"""What obstore raises."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
_BY_CODE: dict[str, Meaning] = {
    "NoSuchBucket": (ImageNotFound, "there is no such bucket"),
    "NoSuchVersion": (ImageNotFound, "the object has no such version"),
    "InvalidRange": (UnsupportedImage, "the object is empty"),
    "InvalidObjectState": (AccessDenied, "the object is archived and has to be restored first"),
    "InvalidAccessKeyId": (StoreCredentials, "the store does not know the gateway's access key"),
    "SignatureDoesNotMatch": (StoreCredentials, "the gateway's secret key is not the one that the store knows"),
    "ExpiredToken": (StoreCredentials, "the gateway's credentials have expired"),
    "InvalidToken": (StoreCredentials, "the store does not accept the gateway's session token"),
    "RequestTimeTooSkewed": (StoreCredentials, "the clocks of the gateway and of the store differ too much"),
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "PermanentRedirect": _ELSEWHERE,
}
_BY_TYPE: dict[type[Exception], Meaning] = {
    FileNotFoundError: (ImageNotFound, "there is no such object"),
    PreconditionError: _CHANGED,
    PermissionDeniedError: (AccessDenied, "the store refuses it to the gateway"),
    UnauthenticatedError: (StoreCredentials, "the store does not accept the gateway's credentials"),
}
_BY_TEXT: tuple[tuple[str, Meaning], ...] = (
    (r"kind: Timeout|\bTimedOut\b", (Timeout, "the store does not answer in time")),
    (r"Received redirect", _ELSEWHERE),
    (r"status code: \d", (SourceUnavailable, "the store answers with an error")),
)


def explain(error: Exception, address: Address) -> SarlensError:
    """The error to raise for one that obstore raised."""
    text = str(error)
    code = _CODE.search(text)
    by_text = (meaning for pattern, meaning in _BY_TEXT if re.search(pattern, text))
    meaning = _BY_CODE.get(code[1]) if code else None
    return _told(address, meaning or _BY_TYPE.get(type(error)) or next(by_text, _LOST))


def refused_credentials(code: str) -> str | None:
    """What an error code of a store says against the gateway's credentials, if it does."""
    kind, reason = _BY_CODE.get(code, (SarlensError, ""))
    return reason if kind is StoreCredentials else None


def changed(address: Address) -> SarlensError:
    """The error for an object that is no longer the one that was opened."""
    return _told(address, _CHANGED)


def _told(address: Address, meaning: Meaning) -> SarlensError:
    kind, reason = meaning
    return kind(f"{address} cannot be read: {reason}.")
