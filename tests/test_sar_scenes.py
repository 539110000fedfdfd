"""The workload that compares Sarlens with peers: each round asks about new images."""

from __future__ import annotations

import base64
import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from sar_scenes import MODEL_SIDE, SIDE, Pixels, marked, png, scene
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

NUMBERS = [0, 1, 2, 3, 1010, 1011, 2010, 2011, 3021, 6031, 65535]
"""Marks of rounds for Sarlens, and of rounds, peers and variants for peers."""


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """A scene of the workload."""
    return scene(np.random.default_rng(0))


def peer_image(pixels: Pixels, number: int, side: int) -> Image.Image:
    """Return the image that a peer receives."""
    data = png(marked(pixels, number), side).partition(",")[2]
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("side", [SIDE, MODEL_SIDE])
def test_peers_receive_new_images_in_each_round(pixels: Pixels, side: int) -> None:
    """The image differs between rounds, peers and variants, by at least 10 gray levels in at least 16 pixels."""
    images = [np.asarray(peer_image(pixels, number, side), dtype=np.int16) for number in NUMBERS]
    for one, other in combinations(images, 2):
        assert np.count_nonzero(np.abs(one - other) >= 10) >= 16


def test_sarlens_renders_new_images_in_each_round(pixels: Pixels) -> None:
    """Each round's scene renders to another image."""
    window = Window(0, 0, SIDE, SIDE)
    rendered = set()
    for number in NUMBERS:
        scene_pixels = marked(pixels, number)[np.newaxis]
        raster = Raster(scene_pixels, scene_pixels[0] > 0, ("1",), Quantity.AMPLITUDE, window)
        rendered.add(render(raster, RenderParams(), MODEL_SIDE).data)
    assert len(rendered) == len(NUMBERS)
