"""Scenes rendered as the 8-bit images that the gateway sends to a model."""

from __future__ import annotations

import numpy as np

from sarbench.simulate.scene import Scene
from sarlens.imagery.core.raster import Quantity, Raster, RenderedImage
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams

DEFAULT_RENDER = RenderParams()
"""Default rendering of the gateway: the paper's preset."""


def render_scene(scene: Scene, size: int) -> RenderedImage:
    """Render ``scene`` with the gateway's own pipeline, ``size`` pixels on its longest side."""
    sigma0 = scene.intensity(scene.window)
    raster = Raster(sigma0[None], np.ones(sigma0.shape, np.bool_), ("VV",), Quantity.INTENSITY, scene.window)
    return render(raster, DEFAULT_RENDER, size)
