"""Quota account of jobs: policy, reservation and charge by the name of an API key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from sarlens.admission.api_keys import ApiKeyFile, generate_api_key
from sarlens.admission.rate_limit import InMemoryTokenBuckets, RateLimiter
from sarlens.api.common.auth import Authorizer
from sarlens.api.jobs.billing import ApiKeyQuotaAccount
from sarlens.errors import PermissionDenied, QuotaExceeded, Unauthenticated
from sarlens.inference.sar_tasks import TaskAnswer
from sarlens.observability.metrics import Metrics
from sarlens.types.image_request import ImageRequest

IMAGE = ImageRequest("s3://scenes/x.tif")


class FakePool:
    """A pool without workers."""

    def models(self) -> dict[str, Any]:
        """Return no models."""
        return {}

    def model_card(self, model: str) -> None:
        """Return no card."""


def make_account(folder: Path, **limits: Any) -> ApiKeyQuotaAccount:
    """Return the account of a gateway with one key named gis."""
    file = folder / "keys.json"
    entry = {"name": "gis", "sha256": generate_api_key()[1], "priority": 5, "images": ["s3://scenes/"]}
    file.write_text(json.dumps([entry | limits]))
    authorizer = Authorizer(ApiKeyFile(file), RateLimiter(InMemoryTokenBuckets()))
    return ApiKeyQuotaAccount(authorizer, cast("Any", FakePool()), Metrics())


def test_jobs_wait_behind_requests_of_their_key(tmp_path: Path) -> None:
    """The policy has the key's name as cache salt, its share and images, and a priority number one higher."""
    policy = make_account(tmp_path, weight=2, max_parallel=8).policy("gis")
    assert policy.share == ("gis", 2.0, 8, None)
    assert (policy.cache_salt, policy.priority, policy.deadline) == ("gis", 6, None)
    assert policy.can_read("s3://scenes/x.tif")
    assert not policy.can_read("s3://other/x.tif")


def test_jobs_without_keys_wait_behind_requests() -> None:
    """Without keys, jobs have the priority number 1, and every image is allowed."""
    authorizer = Authorizer(None, RateLimiter(InMemoryTokenBuckets()))
    policy = ApiKeyQuotaAccount(authorizer, cast("Any", FakePool()), Metrics()).policy("")
    assert (policy.cache_salt, policy.priority) == ("", 1)
    assert policy.can_read("s3://other/x.tif")


async def test_a_reservation_counts_all_requests(tmp_path: Path) -> None:
    """With 5 requests a minute, a reservation of 3 succeeds and a second one of 3 exceeds the quota."""
    account = make_account(tmp_path, requests_per_minute=5)
    assert (await account.admit("gis", "nano", IMAGE, 3)).priority == 6
    with pytest.raises(QuotaExceeded):
        await account.admit("gis", "nano", IMAGE, 3)
    await account.admit("gis", "nano", IMAGE, 2)


async def test_models_and_images_are_checked(tmp_path: Path) -> None:
    """A reservation for another model or image is rejected."""
    account = make_account(tmp_path, models=["nano"])
    await account.admit("gis", "nano", IMAGE, 1)
    with pytest.raises(PermissionDenied):
        await account.admit("gis", "other", IMAGE, 1)
    with pytest.raises(PermissionDenied):
        await account.admit("gis", "nano", ImageRequest("s3://other/x.tif"), 1)


async def test_tokens_are_charged(tmp_path: Path) -> None:
    """With 100 tokens a minute, an answer of 150 tokens uses up the quota."""
    account = make_account(tmp_path, tokens_per_minute=100)
    await account.admit("gis", "nano", IMAGE, 1)
    await account.charge("gis", "nano", TaskAnswer("3", {"total_tokens": 150, "prompt_tokens": 149}, 0.1))
    with pytest.raises(QuotaExceeded):
        await account.admit("gis", "nano", IMAGE, 1)


async def test_a_deleted_key_is_rejected(tmp_path: Path) -> None:
    """Policy, reservation and charge of an unknown key raise Unauthenticated."""
    account = make_account(tmp_path)
    with pytest.raises(Unauthenticated):
        account.policy("other")
    with pytest.raises(Unauthenticated):
        await account.admit("other", "nano", IMAGE, 1)
    with pytest.raises(Unauthenticated):
        await account.charge("other", "nano", TaskAnswer("3", None, 0.1))
