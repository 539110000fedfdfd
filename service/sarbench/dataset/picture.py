"""An image of a data set as the picture that the gateway would show a model."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from sarbench.dataset.library import Library
from sarbench.errors import DatasetError
from sarlens.errors import SarlensError
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.raster import Picture
from sarlens.imagery.render import develop
from sarlens.imagery.source import HeldBlob
from sarlens.request import Render


def picture_of(library: Library, name: str, render: Render, size: int) -> Picture:
    """The picture of an image, at most ``size`` pixels long; a measurement is rendered, a small picture goes as it is.

    Raises:
        DatasetError: the image is missing, or no image that can be read.
    """
    blob = HeldBlob(name, version="", data=library.image(name))
    try:
        decoded = decode(blob, render, size, Limits())
        return decoded if isinstance(decoded, Picture) else develop(decoded, render, size)
    except SarlensError as error:
        raise DatasetError(error.message) from error


def size_of(library: Library, name: str) -> tuple[int, int]:
    """Width and height of an image in pixels, from its header.

    Raises:
        DatasetError: the image is missing, or no image that can be read.
    """
    try:
        with Image.open(BytesIO(library.image(name))) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{name} is no image that can be read") from error
