"""Authentication and authorization: who calls, what the API key allows, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sarlens.admission.api_keys import ApiKey, ApiKeyFile
from sarlens.admission.rate_limit import RateLimiter
from sarlens.api.common.request_context import RequestHeaders
from sarlens.errors import PermissionDenied, Unauthenticated
from sarlens.imagery.products.canonical_url import accessed_urls
from sarlens.types.image_request import ImageRequest

TILE_COST = 0.05
"""Requests for which a map tile counts: a screen of 20 tiles is one request."""


class Authorizer:
    """Checks requests against the API keys and their quotas; without a key file, every request is allowed.

    The API key of every caller is ``None`` if the gateway has no keys.
    """

    def __init__(self, keys: ApiKeyFile | None, rate_limiter: RateLimiter, allowed_fields: Iterable[str] = ()) -> None:
        self._keys = keys
        self.rate_limiter = rate_limiter
        self._allowed_fields = frozenset(allowed_fields)

    def authenticate(self, headers: RequestHeaders) -> ApiKey | None:
        """The API key of a request.

        Raises:
            Unauthenticated: the key is missing, unknown or disabled, or the request has several different keys.
        """
        if self._keys is None:
            return None
        if headers.ambiguous:
            raise Unauthenticated("The request has several different API keys. Send one.")
        if headers.bearer_token is None:
            raise Unauthenticated("The gateway requires an API key. Send it as Authorization: Bearer KEY.")
        key = self._keys.authenticate(headers.bearer_token)
        if key is None:
            raise Unauthenticated("The API key is unknown or disabled.")
        return key

    def visible_models(self, bearer_token: str | None) -> Callable[[str], bool] | None:
        """Which model names a caller of an open path may see; None if the gateway has keys and the caller has none."""
        if self._keys is None:
            return lambda _: True
        key = self._keys.authenticate(bearer_token) if bearer_token is not None else None
        return key.allows_model if key is not None else None

    def key_by_name(self, name: str) -> ApiKey | None:
        """The API key that submitted a job.

        Raises:
            Unauthenticated: the key was removed or disabled.
        """
        if self._keys is None:
            return None
        key = self._keys.by_name(name)
        if key is None:
            raise Unauthenticated("The API key that submitted this job was removed or disabled.")
        return key

    def allowed_fields(self, key: ApiKey | None) -> frozenset[str]:
        """The restricted fields of a request that the holder of a key may send."""
        return self._allowed_fields.union(key.fields) if key is not None and key.fields else self._allowed_fields

    async def authorize(
        self, key: ApiKey | None, model: str, images: Iterable[ImageRequest], requests: int = 1
    ) -> None:
        """Check model and images, then count ``requests`` requests against the quota, before any image is read.

        Raises:
            PermissionDenied: the key doesn't allow the model or one of the images.
            QuotaExceeded: the key has used up its requests or tokens per minute.
            BadRequest: the URL of an image is malformed.
        """
        if key is None:
            return
        if not key.allows_model(model):
            raise PermissionDenied(f"The API key doesn't allow the model {model[:100]!r}.", param="model")
        self.check_image_access(key, images)
        await self.rate_limiter.reserve_requests(key, requests)

    async def authorize_preview(self, key: ApiKey | None, image: ImageRequest) -> None:
        """Check an image and count one request, for a preview without a model; raises as ``authorize`` does."""
        if key is not None:
            self.check_image_access(key, [image])
            await self.rate_limiter.reserve_requests(key, 1)

    async def authorize_tile(self, key: ApiKey | None, image: ImageRequest) -> None:
        """Check an image and count ``TILE_COST`` requests, for a map tile; raises as ``authorize`` does."""
        if key is not None:
            self.check_image_access(key, [image])
            await self.rate_limiter.reserve_share(key, TILE_COST)

    async def count_request(self, key: ApiKey | None) -> None:
        """Count one request that requires neither a model nor an image.

        Raises:
            QuotaExceeded: the key has used up its requests or tokens per minute.
        """
        if key is not None:
            await self.rate_limiter.reserve_requests(key, 1)

    def check_image_access(self, key: ApiKey | None, images: Iterable[ImageRequest]) -> None:
        """Check each image and all objects that are read for it, such as annotations or a whole product.

        A STAC Item is checked later, when its asset is known.

        Raises:
            PermissionDenied: the key doesn't allow one of them.
            BadRequest: the URL of an image is malformed.
        """
        if key is None or key.images is None:
            return
        if not all(key.allows_image(url) for image in images for url in accessed_urls(image)):
            raise PermissionDenied("The API key doesn't allow an image of the request.", param="image_url")

    async def record_tokens(self, key: ApiKey | None, tokens: int) -> None:
        """Count the tokens of a response against the quota."""
        if key is not None:
            await self.rate_limiter.record_tokens(key, tokens)
