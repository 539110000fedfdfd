"""A scene as the 8-bit picture that the gateway would show a model."""

from __future__ import annotations

import numpy as np

from sarbench.simulate.scene import Scene
from sarlens.imagery.raster import Picture, Quantity, Raster
from sarlens.imagery.render import develop
from sarlens.request import Render

RENDER = Render()
"""What the gateway does where a request says nothing: the paper's preset."""


def picture_of(scene: Scene, size: int) -> Picture:
    """``scene`` rendered through the gateway's own darkroom, ``size`` pixels on its longest side."""
    sigma0 = scene.intensity(scene.window)
    raster = Raster(sigma0[None], np.ones(sigma0.shape, np.bool_), ("VV",), Quantity.INTENSITY, scene.window)
    return develop(raster, RENDER, size)
