"""The model that answers a request: by name, alias or fallback, or the one for its image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sarlens.errors import BadRequest
from sarlens.imagery.service.image_service import ImageService
from sarlens.inference.readiness_queue import ReadinessQueue
from sarlens.profiles.profile import ModelProfile
from sarlens.profiles.registry import AUTO, Profiles
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.workers.pool import WorkerPool


class ModelChoice:
    """Chooses models, and knows their profiles."""

    def __init__(
        self, pool: WorkerPool, profiles: Profiles, readiness_queue: ReadinessQueue, image_service: ImageService
    ) -> None:
        self._pool = pool
        self._profiles = profiles
        self._readiness_queue = readiness_queue
        self._image_service = image_service

    @property
    def aliases(self) -> Mapping[str, str]:
        """Model by its alias."""
        return self._profiles.aliases

    def profile(self, model: str | None) -> ModelProfile:
        """Return the profile of a model, or that of its base model; without a name, the profile of the only model."""
        if model is None and len(served := self._pool.models()) == 1:
            model = next(iter(served))
        model = self._profiles.aliases.get(model or "", model or "")
        card = self._pool.model_card(model) or {}
        parent = card.get("parent")
        base = (self._pool.model_card(parent) or {}) if isinstance(parent, str) else {}
        bases = [name for name in (card.get("root"), parent, base.get("root")) if isinstance(name, str)]
        return self._profiles.of(model, *bases)

    async def resolve(self, model: str | None, images: Sequence[ImageRequest], policy: CallerPolicy) -> str:
        """Return the model that answers a request, as soon as a worker serves it; ``auto`` is that for its first image.

        Raises:
            BadRequest: ``auto`` has no image, or no profile is for it.
            SarlensError: the model isn't served, or the image of ``auto`` can't be opened.
        """
        if model == AUTO:
            return await self._for_image(images, policy)
        if model is not None:
            model = self.served_name(model, policy.can_use)
        return await self._readiness_queue.resolve_model(model, policy)

    def served_name(self, name: str, can_use: Callable[[str], bool]) -> str:
        """Return the model of an alias, and a fallback for a model that no ready worker serves."""
        model = self._profiles.aliases.get(name, name)
        if not can_use(model):
            return name  # the error doesn't show the model of the alias
        if self._pool.model_card(model) is not None:
            return model
        fallbacks = (other for other in self.profile(model).fallbacks if can_use(other))
        return next((other for other in fallbacks if self._pool.model_card(other) is not None), model)

    async def _for_image(self, images: Sequence[ImageRequest], policy: CallerPolicy) -> str:
        if not images:
            raise BadRequest('The model "auto" requires an image.', param="model")
        sensor = await self._image_service.sensor(images[0], policy)
        usable = sorted(filter(policy.can_use, self._pool.models()))
        for profile in self._profiles.profiles:
            if profile.is_for(sensor):
                models = [model for model in usable if self.profile(model) is profile]
                if models:
                    return models[0]
        if len(usable) == 1 or not self._pool.models():
            return await self._readiness_queue.resolve_model(None, policy)
        raise BadRequest(
            f"No profile of a model is for this image: {sensor}. Name a model: {', '.join(usable) or 'none'}.",
            param="model",
        )
