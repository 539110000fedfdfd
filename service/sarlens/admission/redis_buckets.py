"""Token buckets in Valkey or Redis, which processes and replicas share."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from sarlens.admission.rate_limit import BucketRequest, InMemoryTokenBuckets
from sarlens.errors import StartupError
from sarlens.observability.metrics import Metrics

log = structlog.get_logger(__name__)

_RETRY_INTERVAL_S = 1.0
_LEVEL_SCRIPT = """
local time = redis.call('TIME')
local size, held = tonumber(ARGV[1]), redis.call('HMGET', KEYS[1], 'level', 'at')
local now = time[1] + time[2] / 1e6
return tostring(math.min(size, (tonumber(held[1]) or size) + (now - (tonumber(held[2]) or now)) * size / 60))
"""
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


class RedisTokenBuckets:
    """Token buckets in Valkey or Redis: one atomic script per withdrawal, on the clock of that server.

    While the server doesn't answer, each process uses buckets of its own.

    Raises:
        StartupError: the URL is invalid.
    """

    def __init__(self, url: str, metrics: Metrics | None = None, timeout_s: float = 0.5) -> None:
        self._up = (metrics or Metrics()).shared_quota_up
        try:
            self._redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
        except ValueError:
            raise StartupError("the URL of the quota server must look like redis://:password@host:6379/0") from None
        self._script = self._redis.register_script(_SCRIPT)
        self._level_script = self._redis.register_script(_LEVEL_SCRIPT)
        self._fallback = InMemoryTokenBuckets()
        self._retry_at: float | None = None

    async def level(self, bucket: str, capacity: int) -> float:
        """Return the number of tokens in a bucket."""
        level = await self._run(self._level_script, bucket, [capacity])
        return await self._fallback.level(bucket, capacity) if level is None else level

    async def consume(self, request: BucketRequest) -> float:
        """Withdraw the tokens and return 0, or return the seconds to wait."""
        arguments = [request.capacity, request.required, request.cost]
        wait_s = await self._run(self._script, request.bucket, arguments)
        return await self._fallback.consume(request) if wait_s is None else wait_s

    async def _run(self, script: AsyncScript, bucket: str, arguments: list[float]) -> float | None:
        """Run a script on a bucket; return None if the server doesn't answer."""
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return None
        try:
            answer = script(keys=[f"sarlens:quota:{bucket}"], args=arguments)
            number = float(await cast("Awaitable[bytes]", answer))
        except (RedisError, OSError, ValueError) as error:
            if self._retry_at is None:
                log.warning("quotas are per process: the quota server does not answer", reason=type(error).__name__)
            self._up.set(0)
            self._retry_at = time.monotonic() + _RETRY_INTERVAL_S
            return None
        if self._retry_at is not None:
            log.info("quotas are shared again: the quota server answers")
            self._up.set(1)
            self._retry_at = None
        return number

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
