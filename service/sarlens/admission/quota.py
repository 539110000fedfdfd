"""Requests and tokens a minute, as buckets that fill steadily: in this process, or shared through Valkey."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sarlens.admission.keys import Key
from sarlens.errors import CannotStart, QuotaExceeded

log = structlog.get_logger(__name__)

_MINUTE_S = 60.0
_PAUSE_S = 1.0
_ALWAYS = -1e15
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local size, need, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(size, (tonumber(held[1]) or size) + (now - (tonumber(held[2]) or now)) * size / 60)
if level < need then return tostring((need - level) * 60 / size) end
level = level - cost
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((size - level) * 60000 / size) + 1000)
return '0'
"""


class Draw(NamedTuple):
    """Something taken from a bucket that holds ``size`` and fills in a minute.

    It is given if the bucket holds ``need``, and lowers it by ``cost``, below zero if need be.
    """

    bucket: str
    size: int
    need: float
    cost: float


class Buckets(Protocol):
    """Where the buckets stand."""

    async def draw(self, draw: Draw) -> float:
        """Take it; or the seconds until it can be had, having taken nothing."""


class LocalBuckets:
    """Buckets of this process; a full one is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[float, float]] = {}

    async def draw(self, draw: Draw) -> float:
        """Take it; or the seconds until it can be had."""
        now = self._clock()
        level, at = self._held.get(draw.bucket, (float(draw.size), now))
        level = min(draw.size, level + (now - at) * draw.size / _MINUTE_S)
        if level < draw.need:
            return (draw.need - level) * _MINUTE_S / draw.size
        self._held[draw.bucket] = level - draw.cost, now
        return 0.0


class SharedBuckets:
    """Buckets in Valkey or Redis, one atomic script a draw, on that server's clock.

    While it does not answer, each process keeps buckets of its own. Raises CannotStart where the URL is none.
    """

    def __init__(self, url: str) -> None:
        try:
            self._redis = Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
        except ValueError:
            raise CannotStart("the server of quotas has to be like redis://:password@host:6379/0") from None
        self._script = self._redis.register_script(_SCRIPT)
        self._own = LocalBuckets()
        self._retry_at: float | None = None

    async def draw(self, draw: Draw) -> float:
        """Take it; or the seconds until it can be had."""
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return await self._own.draw(draw)
        try:
            answer = self._script(keys=[f"sarlens:quota:{draw.bucket}"], args=[draw.size, draw.need, draw.cost])
            wait_s = float(await cast("Awaitable[bytes]", answer))
        except (RedisError, OSError, ValueError) as error:
            if self._retry_at is None:
                log.warning("quotas are not shared: their server does not answer", reason=type(error).__name__)
            self._retry_at = time.monotonic() + _PAUSE_S
            return await self._own.draw(draw)
        if self._retry_at is not None:
            log.info("quotas are shared again")
            self._retry_at = None
        return wait_s

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class Quotas:
    """What each key may use in a minute."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def take(self, key: Key, requests: int) -> None:
        """Count requests that are about to be made.

        Raises:
            QuotaExceeded: there are too many, or earlier ones have used up the tokens.
        """
        if key.tokens_per_minute is not None:
            await self._draw(f"{key.sha256}:tokens", key.tokens_per_minute, 1, 0, "tokens")
        if key.requests_per_minute is not None:
            # More at once than a minute holds is let through when the bucket is full, and paid off afterwards.
            need = min(requests, key.requests_per_minute)
            await self._draw(f"{key.sha256}:requests", key.requests_per_minute, need, requests, "requests")

    async def charge(self, key: Key, tokens: int) -> None:
        """Count the tokens of an answer, which nobody knew before."""
        if key.tokens_per_minute is not None and tokens:
            await self._buckets.draw(Draw(f"{key.sha256}:tokens", key.tokens_per_minute, _ALWAYS, tokens))

    async def _draw(self, bucket: str, size: int, need: float, cost: float, what: str) -> None:
        wait_s = await self._buckets.draw(Draw(bucket, size, need, cost))
        if wait_s:
            raise QuotaExceeded(
                f"This key may use {size} {what} a minute, and has.", retry_after=max(1, math.ceil(wait_s))
            )
