"""Map errors of an S3 store to errors for a caller. The store's own words stay here: they may contain secrets."""

from __future__ import annotations

import re
from typing import TypeAlias

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from sarlens.errors import (
    AccessDenied,
    BadRequest,
    ImageNotFound,
    SarlensError,
    SourceChanged,
    SourceThrottled,
    SourceUnavailable,
    StoreCredentials,
    Timeout,
    UnsupportedImage,
)
from sarlens.imagery.sources.s3_url import S3Url

Cause: TypeAlias = tuple[type[SarlensError], str]
"""Class of the error, and the reason in words."""

_CHANGED: Cause = (SourceChanged, "it was replaced while it was read; retry to read the new version")
_WRONG_REGION: Cause = (SourceUnavailable, "its bucket is in another region than the gateway is configured for")
_CONNECTION_FAILED: Cause = (SourceUnavailable, "the store is unreachable or closed the connection")
_THROTTLED: Cause = (SourceThrottled, "the store limits the rate of requests; retry later")

STORE_ERRORS = (BaseError, OSError, ValueError)
"""Exceptions that obstore raises."""

WRITE_ERRORS = (BotoCoreError, ClientError, OSError, ValueError)
"""Exceptions that boto3 raises."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
_BY_CODE: dict[str, Cause] = {
    "NoSuchBucket": (ImageNotFound, "the bucket doesn't exist"),
    "NoSuchVersion": (ImageNotFound, "the object has no such version"),
    "InvalidRange": (UnsupportedImage, "the object is empty"),
    "InvalidObjectState": (AccessDenied, "the object is archived and must be restored first"),
    "InvalidAccessKeyId": (StoreCredentials, "the store doesn't know the gateway's access key"),
    "SignatureDoesNotMatch": (StoreCredentials, "the gateway's secret key is wrong"),
    "ExpiredToken": (StoreCredentials, "the gateway's credentials have expired"),
    "InvalidToken": (StoreCredentials, "the store doesn't accept the gateway's session token"),
    "RequestTimeTooSkewed": (StoreCredentials, "the clocks of the gateway and the store differ too much"),
    "SlowDown": _THROTTLED,
    "ServiceUnavailable": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "TooManyRequests": _THROTTLED,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
}
_WRITE_CODES: dict[str, Cause] = {
    "AccessDenied": (AccessDenied, "the store denies the gateway access to it"),
    "NoSuchBucket": (BadRequest, "the bucket doesn't exist"),
}
_BY_TYPE: dict[type[Exception], Cause] = {
    FileNotFoundError: (ImageNotFound, "the object doesn't exist"),
    PreconditionError: _CHANGED,
    PermissionDeniedError: (AccessDenied, "the store denies the gateway access to it"),
    UnauthenticatedError: (StoreCredentials, "the store doesn't accept the gateway's credentials"),
}
_BY_TEXT: tuple[tuple[str, Cause], ...] = (
    (r"kind: Timeout|\bTimedOut\b", (Timeout, "the store didn't respond in time")),
    (r"Received redirect", _WRONG_REGION),
    (r"status code: (?:429|503)", _THROTTLED),
    (r"status code: \d", (SourceUnavailable, "the store responded with an error")),
)


def map_store_error(error: Exception, s3_url: S3Url, action: str = "read") -> SarlensError:
    """The error for a caller, by the store's error code, else by exception type, else by text.

    Args:
        error: the exception that obstore raised.
        s3_url: URL of the object.
        action: ``read`` or ``written``.
    """
    text = str(error)
    code = _CODE.search(text)
    by_text = (cause for pattern, cause in _BY_TEXT if re.search(pattern, text))
    cause = _BY_CODE.get(code[1]) if code else None
    return _to_error(s3_url, cause or _BY_TYPE.get(type(error)) or next(by_text, _CONNECTION_FAILED), action)


def map_write_error(error: Exception, s3_url: S3Url) -> SarlensError:
    """The error for a caller whose output can't be written, from an exception of boto3."""
    cause = _CONNECTION_FAILED
    if isinstance(error, ClientError):
        code = error.response["Error"].get("Code", "")
        cause = _WRITE_CODES.get(code) or _BY_CODE.get(code, (SourceUnavailable, "the store responded with an error"))
    elif isinstance(error, (ReadTimeoutError, ConnectTimeoutError)):
        cause = Timeout, "the store didn't respond in time"
    mapped = _to_error(s3_url, cause, "written")
    mapped.param = "output"
    return mapped


def credential_error(code: str) -> str | None:
    """The reason if a store's error code is about the gateway's credentials, else None."""
    error_cls, reason = _BY_CODE.get(code, (SarlensError, ""))
    return reason if error_cls is StoreCredentials else None


def source_changed(s3_url: S3Url) -> SarlensError:
    """The error for an object that was replaced after it was opened."""
    return _to_error(s3_url, _CHANGED)


def _to_error(s3_url: S3Url, cause: Cause, action: str = "read") -> SarlensError:
    error_cls, reason = cause
    retry_after = SourceThrottled.DEFAULT_RETRY_AFTER_S if error_cls is SourceThrottled else None
    return error_cls(f"{s3_url} can't be {action}: {reason}.", retry_after=retry_after)
