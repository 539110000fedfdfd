"""Quota account: what a survey requires from the API keys and their quotas."""

from __future__ import annotations

from typing import Protocol

from sarlens.inference.sar_tasks import TaskAnswer
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest


class QuotaAccount(Protocol):
    """Authorizes and charges the requests of jobs, by the name of the API key that submitted them."""

    def policy(self, owner: str) -> CallerPolicy:
        """Return the policy of an owner.

        Raises:
            Unauthenticated: the API key is deleted.
        """

    async def admit(self, owner: str, model: str, image_request: ImageRequest, requests: int) -> CallerPolicy:
        """Reserve a number of requests from the owner's quota, and return the policy.

        Raises:
            QuotaExceeded: the quota is used up for now.
            Unauthenticated, PermissionDenied: the API key is deleted or no longer allows the model or the image.
        """

    async def charge(self, owner: str, model: str, answer: TaskAnswer) -> None:
        """Record the tokens of an answer."""
