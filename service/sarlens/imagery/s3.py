"""Images in S3, read in blocks that all belong to the version first seen."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import NotModifiedError

from sarlens import tracing
from sarlens.errors import SarlensError, SourceRefused, SourceUnavailable, Timeout
from sarlens.imagery.cache import Blocks, ByteLRU, SingleFlight
from sarlens.imagery.s3_account import Account
from sarlens.imagery.s3_address import Address
from sarlens.imagery.s3_trouble import STORE_ERRORS, changed, explain
from sarlens.imagery.source import Blob

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import S3Store

BLOCK = 64 * 1024
"""Bytes are fetched and cached in blocks of this size, so that small reads next to each other cost one request."""

_BLOCKS_AT_ONCE = 128
_REMEMBERED = 4096
"""Objects whose versions are remembered."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the store said of an object at a moment of the monotonic clock."""

    version: str
    etag: str
    size: int
    at: float

    @classmethod
    def of(cls, meta: ObjectMeta, store: S3Store, address: Address) -> _Seen:
        etag = meta["e_tag"]
        if not etag:
            raise SourceUnavailable(f"{address} cannot be read: the store gives no ETag that tells its versions apart.")
        words = (store.config["endpoint"], address.bucket, address.key, meta["version"] or "", etag)
        version = hashlib.sha256("\0".join(words).encode()).hexdigest()
        return cls(f"s3:{version}", etag, meta["size"], monotonic())


_UNSEEN = _Seen("", "", 0, -inf)


class S3:
    """Opens ``s3://`` URLs.

    The first look at an object fetches its first block: one answer brings size, ETag and the header of the image, and
    a refusal says why, as that of a HEAD does not. Everything read later is conditional on that ETag. What was seen
    is trusted for ``fresh_s`` seconds, a ``versionId`` for good; after that a conditional request asks whether it still
    holds. ``timeout_s`` bounds the look. Where ``buckets`` names some, there are no others.
    """

    def __init__(
        self,
        account: Account,
        blocks: Blocks,
        *,
        timeout_s: float = 20.0,
        fresh_s: float = 1.0,
        buckets: Collection[str] = (),
    ) -> None:
        self._account = account
        self._blocks = blocks
        self._timeout_s = timeout_s
        self._fresh_s = fresh_s
        self._buckets = frozenset(buckets)
        self._seen: ByteLRU[Address, _Seen] = ByteLRU(_REMEMBERED, weigh=lambda seen: 1)
        self._flights: SingleFlight[Address, _Seen] = SingleFlight()

    async def open(self, url: str) -> Blob:
        """Look at the object.

        Raises:
            BadRequest: the URL names no object.
            SourceRefused: the bucket is not one of those allowed.
            ImageNotFound, AccessDenied, StoreCredentials, SourceUnavailable, Timeout: so says the store.
        """
        address = Address.parse(url)
        if self._buckets and address.bucket not in self._buckets:
            raise SourceRefused(f"Images are not read from the bucket {address.bucket} here.")
        moved: list[int] = []  # stays empty for a caller who shares the look of another
        try:
            async with asyncio.timeout(self._timeout_s):
                store = await self._account.store(address.bucket)
                seen = await self._flights.run(address, lambda: self._look(store, address, moved.append))
        except TimeoutError:
            raise Timeout(f"{address} cannot be read: the store does not answer in time.") from None
        return _S3Blob(store, address, seen, self._blocks, bytes_moved=sum(moved), forget=self._seen.drop)

    async def _look(self, store: S3Store, address: Address, moved: Callable[[int], None]) -> _Seen:
        """Ask the store about an object, unless what it said last still holds; ``moved`` is told of bytes fetched."""
        known = self._seen.get(address) or _UNSEEN
        if known is not _UNSEEN and (address.version or monotonic() - known.at < self._fresh_s):
            return known
        trouble: SarlensError | None = None
        options = _options(address, 0, BLOCK)
        if known.etag:
            options["if_none_match"] = known.etag
        try:
            answer = await obstore.get_async(store, address.key, options=options)
            first = bytes(await answer.bytes_async())
        except NotModifiedError:
            seen = replace(known, at=monotonic())
        except STORE_ERRORS as error:
            trouble = explain(error, address)
            self._seen.drop(address)
        else:
            seen = _Seen.of(answer.meta, store, address)
            self._blocks.put((seen.version, 0), first)
            moved(len(first))
        if trouble:
            raise trouble  # out here it does not carry the store's own words along as its context
        self._seen.put(address, seen)
        return seen


class _S3Blob:
    """One version of an object."""

    def __init__(
        self,
        store: S3Store,
        address: Address,
        seen: _Seen,
        blocks: Blocks,
        *,
        bytes_moved: int,
        forget: Callable[[Address], None],
    ) -> None:
        self.name = str(address)
        self.version = seen.version
        self.size = seen.size
        self.bytes_moved = bytes_moved
        self.seconds = 0.0
        self._store = store
        self._address = address
        self._etag = seen.etag
        self._blocks = blocks
        self._forget = forget

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on, fewer than ``length`` only at the end. Blocks.

        Raises:
            SourceChanged: the object is another one by now.
            ImageNotFound, AccessDenied, StoreCredentials, SourceUnavailable, Timeout: so says the store.
        """
        stop = min(start + length, self.size)
        if stop <= start:
            return b""
        numbers = range(start // BLOCK, (stop - 1) // BLOCK + 1)
        found = {number: self._blocks.get((self.version, number)) for number in numbers}
        for missing in _runs([number for number, block in found.items() if block is None]):
            found |= self._fetch(missing)
        joined = b"".join(block for block in found.values() if block is not None)
        offset = numbers.start * BLOCK
        return joined[start - offset : stop - offset]

    def _fetch(self, numbers: range) -> dict[int, bytes]:
        """Get blocks that follow each other in one request."""
        start, stop = numbers.start * BLOCK, min(numbers.stop * BLOCK, self.size)
        begun = perf_counter()
        with tracing.span("fetch") as span:
            data = self._get(start, stop)
            span.set({"sarlens.fetched_bytes": len(data)})
        self.seconds += perf_counter() - begun
        self.bytes_moved += len(data)
        found = {number: data[number * BLOCK - start : (number + 1) * BLOCK - start] for number in numbers}
        for number, block in found.items():
            self._blocks.put((self.version, number), block)
        return found

    def _get(self, start: int, stop: int) -> bytes:
        options = _options(self._address, start, stop)
        options["if_match"] = self._etag
        try:
            answer = obstore.get(self._store, self._address.key, options=options)
            data = bytes(answer.bytes())
        except STORE_ERRORS as error:
            trouble = explain(error, self._address)
        else:
            # A store that does not know If-Match answers with whatever it has now.
            if answer.meta["e_tag"] == self._etag and len(data) == stop - start:
                return data
            trouble = changed(self._address)
        self._forget(self._address)
        raise trouble


def _options(address: Address, start: int, stop: int) -> GetOptions:
    options: GetOptions = {"range": (start, stop)}
    if address.version:
        options["version"] = address.version
    return options


def _runs(numbers: list[int]) -> list[range]:
    """Ascending numbers as ranges without gaps, none longer than one request should be."""
    runs: list[range] = []
    for number in numbers:
        if runs and number == runs[-1].stop and len(runs[-1]) < _BLOCKS_AT_ONCE:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs
