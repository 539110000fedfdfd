"""Startup check of the S3 store that the settings name."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

from sarlens.errors import StartupError
from sarlens.imagery.sources.s3_credentials import S3StoreFactory, describe_credential_error
from sarlens.imagery.sources.s3_errors import credential_error

_TIMEOUT_S = 5.0
_NOT_S3 = "the server at this address fails or doesn't speak S3"
_FAILED_STATUSES = frozenset({404, 500, 502, 503, 504})
_CONNECTION_ERRORS: dict[type[Exception], str] = {
    ConnectTimeoutError: "the connection timed out",
    ReadTimeoutError: "the response timed out",
    SSLError: "its certificate isn't trusted",
}


class S3Unavailable(StartupError):
    """The store is unreachable, or rejects the gateway's credentials."""


def check_s3(stores: S3StoreFactory, name: str) -> None:
    """List the buckets of the store once. Blocks for some seconds at most.

    A store that denies the list passes: it is reachable, and it checked the signature first.

    Args:
        stores: the store's configuration.
        name: name of the store for the error message.

    Raises:
        S3Unavailable: the store is unreachable, doesn't speak S3, or rejects the credentials.
    """
    reason: str | None
    try:
        stores.list_buckets(_TIMEOUT_S)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        reason = credential_error(error.response["Error"].get("Code", "")) or (
            _NOT_S3 if status in _FAILED_STATUSES else None
        )
    except (BotoConnectionError, HTTPClientError) as error:
        reason = f"it is unreachable: {_CONNECTION_ERRORS.get(type(error), 'nothing responds at this address')}"
    except ResponseParserError:
        reason = _NOT_S3
    except (BotoCoreError, ValueError, OSError) as error:
        raise S3Unavailable(describe_credential_error(error)) from None
    else:
        return
    if reason:
        raise S3Unavailable(f"{name} can't be used: {reason}")
