"""Rendering of simulated scenes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.render import DEFAULT_RENDER, render_scene
from sarlens.imagery.core.object_reader import InMemoryObject
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.render.pipeline import render


@pytest.mark.parametrize("encoding", [Encoding.DN, Encoding.LINEAR, Encoding.DB])
def test_a_rendered_geotiff_equals_the_training_image(tmp_path: Path, encoding: Encoding) -> None:
    """The gateway renders a GeoTIFF in any encoding to the image that training uses."""
    for index in range(5):
        scene = simulate_chip(2, index).scene
        write_geotiff(scene, tmp_path / "chip.tif", encoding)
        held = InMemoryObject("chip.tif", "1", (tmp_path / "chip.tif").read_bytes())
        raster = read_image(held, DEFAULT_RENDER, 224, DecodeLimits())
        assert isinstance(raster, Raster)
        assert raster.quantity is {"dn": Quantity.AMPLITUDE, "linear": Quantity.INTENSITY}.get(
            encoding.value, Quantity.DECIBEL
        )
        seen, trained = (
            np.asarray(Image.open(BytesIO(picture.data)).convert("L"), float)
            for picture in (render(raster, DEFAULT_RENDER, 224), render_scene(scene, 224))
        )
        assert np.abs(seen - trained).mean() < 1.0
