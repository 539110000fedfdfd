"""Render an image in one call."""

from __future__ import annotations

from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest


async def resolve_and_render(
    service: ImageService, image_request: ImageRequest, model_size: int, policy: CallerPolicy
) -> tuple[ResolvedImage, RenderedImage]:
    """Resolve and render an image; raises as both."""
    resolved = await service.resolve(image_request, model_size, policy)
    return resolved, await service.render(resolved)
