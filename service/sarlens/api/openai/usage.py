"""``GET /v1/usage``: requests and tokens of the caller's API key, and the state of its rate limits."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from sarlens.admission.rate_limit import RateLimiter
from sarlens.api.common.request_context import RequestContext
from sarlens.errors import NotFound


class RateLimitStatus(BaseModel):
    """One rate limit of the key."""

    limit: int = Field(description="Maximum per minute.")
    remaining: int = Field(
        description="Number that the key can use now; negative after a response that exceeded the limit."
    )


class RateLimits(BaseModel):
    """Rate limits of the key; null for one that the key doesn't have."""

    requests_per_minute: RateLimitStatus | None = Field(description="Limit of requests.")
    tokens_per_minute: RateLimitStatus | None = Field(description="Limit of prompt and completion tokens.")


class Usage(BaseModel):
    """Usage of the API key."""

    object: Literal["usage"] = Field("usage", description="Always `usage`.")
    key: str = Field(description="Name of the API key.")
    since: datetime = Field(description="Start of the process that counts, and that answers this request.")
    requests: int = Field(description="Requests that the rate limits admitted, as quotas count them.")
    rejected_requests: int = Field(description="Requests that the rate limits rejected with 429.")
    tokens: int = Field(description="Prompt and completion tokens of responses.")
    rate_limits: RateLimits = Field(description="State of the rate limits.")


def usage_router(rate_limiter: RateLimiter) -> APIRouter:
    """The route of a key's own usage."""
    router = APIRouter(tags=["usage"])

    @router.get("/v1/usage")
    async def usage(request: Request) -> Usage:
        """Get the usage of your API key, and the state of its rate limits.

        Each process of the gateway counts for itself, from its start. Rate limits are those of all processes if they
        share a quota server. A gateway without API keys answers 404: it doesn't distinguish callers.
        """
        context: RequestContext = request.state.context
        if (key := context.key) is None:
            raise NotFound("The gateway has no API keys, so it counts no usage by key. The metrics count all requests.")
        counted = rate_limiter.usage.by_key[key.name]
        return Usage(
            key=key.name,
            since=datetime.fromtimestamp(rate_limiter.usage.since, UTC),
            requests=counted.requests,
            rejected_requests=counted.rejected_requests,
            tokens=counted.tokens,
            rate_limits=RateLimits(
                requests_per_minute=_status(key.requests_per_minute, await rate_limiter.remaining_requests(key)),
                tokens_per_minute=_status(key.tokens_per_minute, await rate_limiter.remaining_tokens(key)),
            ),
        )

    return router


def _status(limit: int | None, remaining: float | None) -> RateLimitStatus | None:
    if limit is None or remaining is None:
        return None
    return RateLimitStatus(limit=limit, remaining=math.floor(remaining + 1e-6))
