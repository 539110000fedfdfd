"""Rate limits: requests and tokens per minute, as token buckets in this process or in a shared store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sarlens.admission.api_keys import ApiKey
from sarlens.admission.key_usage import UsageCounter
from sarlens.errors import QuotaExceeded

_MINUTE_S = 60.0
_NO_MINIMUM = -1e15


class BucketRequest(NamedTuple):
    """A withdrawal from a token bucket that refills completely in a minute."""

    bucket: str
    """Name of the bucket."""
    capacity: int
    """Tokens in the full bucket."""
    required: float
    """The withdrawal succeeds if the bucket holds at least this many tokens."""
    cost: float
    """Tokens to withdraw; the level may fall below zero."""


class BucketLevel(NamedTuple):
    """Tokens in a bucket at a time."""

    tokens: float
    updated_at: float

    def tokens_at(self, now: float, capacity: int) -> float:
        """Return the tokens at a later time; a bucket fills up in a minute."""
        return min(float(capacity), self.tokens + (now - self.updated_at) * capacity / _MINUTE_S)

    def withdraw(self, request: BucketRequest, now: float) -> tuple[float, BucketLevel]:
        """Return 0 and the level after the withdrawal, or the seconds to wait and this level."""
        tokens = self.tokens_at(now, request.capacity)
        if tokens < request.required:
            return (request.required - tokens) * _MINUTE_S / request.capacity, self
        return 0.0, BucketLevel(tokens - request.cost, now)


class TokenBucketStore(Protocol):
    """A store of token buckets."""

    async def level(self, bucket: str, capacity: int) -> float:
        """Return the number of tokens in a bucket; it is negative after a debt."""

    async def consume(self, request: BucketRequest) -> float:
        """Withdraw the tokens and return 0, or return the seconds to wait and withdraw nothing."""


class InMemoryTokenBuckets:
    """Token buckets in the memory of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, BucketLevel] = {}

    async def level(self, bucket: str, capacity: int) -> float:
        """Return the number of tokens in a bucket."""
        now = self._clock()
        return self._buckets.get(bucket, BucketLevel(float(capacity), now)).tokens_at(now, capacity)

    async def consume(self, request: BucketRequest) -> float:
        """Withdraw the tokens and return 0, or return the seconds to wait."""
        now = self._clock()
        level = self._buckets.get(request.bucket) or BucketLevel(float(request.capacity), now)
        wait_s, self._buckets[request.bucket] = level.withdraw(request, now)
        return wait_s


class RateLimiter:
    """Limits the requests and tokens of each API key per minute, and counts what each key uses."""

    def __init__(self, buckets: TokenBucketStore) -> None:
        self._buckets = buckets
        self.usage = UsageCounter()

    async def reserve_requests(self, key: ApiKey, requests: int) -> None:
        """Count requests before they run.

        Raises:
            QuotaExceeded: the key has used up its requests or its tokens; ``retry_after`` is in seconds.
        """
        usage = self.usage.by_key[key.name]
        try:
            await self._reserve(key, requests)
        except QuotaExceeded:
            usage.rejected_requests += requests
            raise
        usage.requests += requests

    async def reserve_share(self, key: ApiKey, share: float) -> None:
        """Count a part of a request, such as a map tile, against the limit only; raises as ``reserve_requests``."""
        await self._reserve(key, share)

    async def _reserve(self, key: ApiKey, requests: float) -> None:
        if key.tokens_per_minute is not None:
            await self._consume(f"{key.sha256}:tokens", key.tokens_per_minute, 1, 0, "tokens")
        if key.requests_per_minute is not None:
            # A batch larger than the limit passes when the bucket is full; its debt delays later requests.
            required = min(requests, key.requests_per_minute)
            await self._consume(f"{key.sha256}:requests", key.requests_per_minute, required, requests, "requests")

    async def record_tokens(self, key: ApiKey, tokens: int) -> None:
        """Count the tokens of an answer, whose number is known only afterwards."""
        self.usage.by_key[key.name].tokens += tokens
        if key.tokens_per_minute is not None and tokens:
            await self._buckets.consume(
                BucketRequest(f"{key.sha256}:tokens", key.tokens_per_minute, _NO_MINIMUM, tokens)
            )

    async def remaining_requests(self, key: ApiKey) -> float | None:
        """Return how many requests the key may send at once, or None without a limit."""
        limit = key.requests_per_minute
        return None if limit is None else await self._buckets.level(f"{key.sha256}:requests", limit)

    async def remaining_tokens(self, key: ApiKey) -> float | None:
        """Return how many tokens the key has left at once, or None without a limit; it is negative after a debt."""
        limit = key.tokens_per_minute
        return None if limit is None else await self._buckets.level(f"{key.sha256}:tokens", limit)

    async def _consume(self, bucket: str, capacity: int, required: float, cost: float, unit: str) -> None:
        wait_s = await self._buckets.consume(BucketRequest(bucket, capacity, required, cost))
        if wait_s:
            retry_after = max(1, math.ceil(wait_s))
            raise QuotaExceeded(
                f"Rate limit reached: this API key allows {capacity} {unit} per minute. Retry after {retry_after} s.",
                retry_after=retry_after,
            )
