"""Writing to S3: results of surveys, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import obstore

from sarlens.imagery.s3_account import Account
from sarlens.imagery.s3_address import Address
from sarlens.imagery.s3_trouble import STORE_ERRORS, explain


class S3Sink:
    """Puts files under ``s3://`` URLs, in several parts where they are large."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def put(self, url: str, file: Path) -> None:
        """Write a file.

        Raises:
            BadRequest: the URL names no object.
            AccessDenied, StoreCredentials, SourceUnavailable, Timeout: so says the store.
        """
        address = Address.parse(url)
        store = await self._account.store(address.bucket)
        try:
            await obstore.put_async(store, address.key, file)
        except STORE_ERRORS as error:
            trouble = explain(error, address)
        else:
            return
        raise trouble
