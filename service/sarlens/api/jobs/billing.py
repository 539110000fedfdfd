"""Quota account of jobs: their requests count for the API key that submitted them."""

from __future__ import annotations

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.usage import UsageMeter
from sarlens.inference.sar_tasks import TaskAnswer
from sarlens.observability.caller import bind_key
from sarlens.observability.metrics import Metrics
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.workers.pool import WorkerPool


class ApiKeyQuotaAccount:
    """Authorizes and charges jobs by the name of an API key. Jobs wait behind synchronous requests of the key."""

    def __init__(self, authorizer: Authorizer, pool: WorkerPool, metrics: Metrics) -> None:
        self._authorizer = authorizer
        self._pool = pool
        self._metrics = metrics

    def policy(self, owner: str) -> CallerPolicy:
        """Return the policy of an API key, with a priority one step behind that of its requests.

        The current task works for the key from then on.

        Raises:
            Unauthenticated: the API key is deleted.
        """
        key = self._authorizer.key_by_name(owner)
        bind_key(owner)
        if key is None:
            return CallerPolicy(priority=1)
        return CallerPolicy(key.name, key.priority + 1, None, key.allows_image, key.share, key.allows_model)

    async def admit(self, owner: str, model: str, image_request: ImageRequest, requests: int) -> CallerPolicy:
        """Reserve a number of requests from the quota of an API key, and return its policy.

        Raises:
            QuotaExceeded: the quota is used up for now.
            Unauthenticated, PermissionDenied: the API key is deleted or no longer allows the model or the image.
        """
        await self._authorizer.authorize(self._authorizer.key_by_name(owner), model, [image_request], requests)
        return self.policy(owner)

    async def charge(self, owner: str, model: str, answer: TaskAnswer) -> None:
        """Record the tokens of an answer in metrics and quota."""
        usage = UsageMeter.of_usage(model, answer.usage)
        usage.export(self._metrics, self._pool)
        await self._authorizer.record_tokens(self._authorizer.key_by_name(owner), usage.tokens)
