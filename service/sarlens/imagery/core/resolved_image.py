"""A resolved image: one version and one window of an image, identified and not yet rendered."""

from __future__ import annotations

from dataclasses import dataclass

from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.stac import Acquisition
from sarlens.types.image_request import ImageLocation
from sarlens.types.render_params import RenderParams


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """The second of three image nouns: ``ImageRequest``, ``ResolvedImage``, ``RenderedImage``."""

    id: str
    """Image id: SHA-256 of source version and render parameters, 64 hexadecimal digits."""
    source_image: SourceImage
    """Opened files."""
    render: RenderParams
    """Render parameters with a window in pixels in place of a bbox or polygon."""
    model_size: int
    """Longest side that the model sees, in pixels; used if ``render`` has no size."""
    public: bool
    """Whether anyone can fetch the image without credentials."""
    turn: Turn = NO_TURN
    """Turn of the rendered image."""
    resolve_seconds: float = 0.0
    """Seconds that the resolution took, which count toward the time limit of the image."""

    @property
    def location(self) -> ImageLocation:
        """URL or bytes of the image."""
        return self.source_image.location

    @property
    def acquisition(self) -> Acquisition | None:
        """Acquisition metadata, if a STAC Item led to the image."""
        return self.source_image.acquisition

    @property
    def side(self) -> int:
        """Maximum length of the rendered image's longest side, in pixels."""
        return self.render.size or self.model_size

    @property
    def pixels(self) -> int:
        """Maximum number of pixels of the rendered image."""
        return self.side**2
