"""Images of a data set, rendered as the gateway renders them for a model."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import DatasetError
from sarlens.errors import SarlensError
from sarlens.imagery.core.object_reader import InMemoryObject
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams


def render_image(dataset: SarlangDataset, name: str, params: RenderParams, size: int) -> RenderedImage:
    """Render an image to at most ``size`` pixels on its longest side. Small 8-bit images are returned unchanged.

    Raises:
        DatasetError: the image is missing or cannot be decoded.
    """
    blob = InMemoryObject(name, version="", data=dataset.read_image(name))
    try:
        decoded = read_image(blob, params, size, DecodeLimits())
        return decoded if isinstance(decoded, RenderedImage) else render(decoded, params, size)
    except SarlensError as error:
        raise DatasetError(error.message) from error


def image_size(dataset: SarlangDataset, name: str) -> tuple[int, int]:
    """Return the width and height of an image in pixels, from its header.

    Raises:
        DatasetError: the image is missing or cannot be decoded.
    """
    try:
        with Image.open(BytesIO(dataset.read_image(name))) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{name} cannot be decoded as an image") from error
