"""Whether the S3 store that the settings name is there, asked once before anything is served."""

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
    ConnectionError as NotConnected,
)
from botocore.parsers import ResponseParserError

from sarlens.errors import CannotStart
from sarlens.imagery.s3_account import Account, account_trouble
from sarlens.imagery.s3_trouble import refused_credentials

_PATIENCE_S = 5.0
_NO_S3 = "what answers there fails, or does not speak S3"
_FAILED = frozenset({404, 500, 502, 503, 504})
_UNREACHED: dict[type[Exception], str] = {
    ConnectTimeoutError: "no connection in time",
    ReadTimeoutError: "no answer in time",
    SSLError: "its certificate is not trusted",
}


class StoreUnusable(CannotStart):
    """The store is not there, or does not know the gateway."""


def check_store(account: Account, name: str) -> None:
    """Ask the store, by the ``name`` that the operator knows it by, for its buckets. Blocks for some seconds at most.

    That it refuses to list them is fine: it is there, and has judged the signature first.

    Raises:
        StoreUnusable: it cannot be reached, is none, or does not accept the credentials.
    """
    trouble: str | None
    try:
        account.list_buckets(_PATIENCE_S)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        trouble = refused_credentials(error.response["Error"].get("Code", "")) or (
            _NO_S3 if status in _FAILED else None
        )
    except (NotConnected, HTTPClientError) as error:
        trouble = f"it cannot be reached: {_UNREACHED.get(type(error), 'nothing answers there')}"
    except ResponseParserError:
        trouble = _NO_S3
    except (BotoCoreError, ValueError, OSError) as error:
        raise StoreUnusable(account_trouble(error)) from None
    else:
        return
    if trouble:
        raise StoreUnusable(f"{name} cannot be used: {trouble}")
