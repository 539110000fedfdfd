"""Image requests: which image a caller names, and how to render it."""

from __future__ import annotations

from typing import NamedTuple

from sarlens.errors import BadRequest
from sarlens.stac import Item
from sarlens.types.render_params import RenderParams

ImageLocation = str | bytes | Item
"""URL of an image or of a STAC Item, a STAC Item, or the bytes of an image."""


MAX_URL_CHARS = 8192
"""Maximum length of an image's URL, except for a ``data:`` URL."""


def url_scheme(url: str) -> str:
    """The scheme of a URL in lower case, or an empty string; a long data: URL isn't copied."""
    return url[: max(url.find(":"), 0)].lower()


def check_url_length(location: ImageLocation) -> None:
    """Check the length of a URL before anything parses it.

    Raises:
        BadRequest: the URL is too long.
    """
    if isinstance(location, str) and len(location) > MAX_URL_CHARS and url_scheme(location) != "data":
        raise BadRequest(f"The URL of an image has {len(location)} characters; the limit is {MAX_URL_CHARS}.")


class ImageRequest(NamedTuple):
    """The first of three image nouns: ``ImageRequest``, ``ResolvedImage``, ``RenderedImage``."""

    location: ImageLocation
    """URL, STAC Item or bytes."""
    render: RenderParams | None = None
    """Render parameters; None for the defaults."""


class ImageRef(NamedTuple):
    """An image part of a chat."""

    location: ImageLocation
    """URL, STAC Item or bytes."""
    render: RenderParams | None
    """Render parameters; None for the defaults."""
    message: int
    """Index of the message in the chat."""
    part: int
    """Index of the part in the message's content."""
    version: str | None = None
    """The only acceptable version of the image, if given."""

    @property
    def request(self) -> ImageRequest:
        """The image request of the part."""
        return ImageRequest(self.location, self.render)
