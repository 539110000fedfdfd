"""Parameters of the CFAR detector: the ``cfar`` object of a request."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from sarlens.validation import BoundedModel


class CfarParams(BoundedModel):
    """Parameters of the cell-averaging CFAR detector (constant false alarm rate).

    Windows are squares around the tested pixel, with an odd side in pixels of the full resolution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pfa: Annotated[
        float, Field(ge=1e-12, le=1e-2, description="Probability of a false alarm in one pixel of homogeneous clutter.")
    ] = 1e-8
    guard: Annotated[
        int,
        Field(
            ge=1,
            le=255,
            description="Side of the guard window, whose pixels don't count as clutter. Larger than half a target.",
        ),
    ] = 41
    training: Annotated[
        int, Field(ge=5, le=301, description="Side of the training window, whose other pixels are the clutter.")
    ] = 73
    min_pixels: Annotated[
        int, Field(ge=1, le=10_000, description="Smallest number of detected pixels of a target.")
    ] = 3

    @model_validator(mode="after")
    def _check_windows(self) -> CfarParams:
        if self.guard % 2 == 0 or self.training % 2 == 0:
            raise ValueError("guard and training must be odd")
        if self.training < self.guard + 4:
            raise ValueError("training must be at least guard + 4")
        return self

    @property
    def margin(self) -> int:
        """Pixels around a tile that its detector needs."""
        return self.training // 2
