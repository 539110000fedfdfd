"""Image requests: which image a caller names, and how to render it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sarlens.errors import BadRequest
from sarlens.stac import Item
from sarlens.types.render_params import RenderParams

BandUrls = tuple[str, ...]
"""URLs of the files of one image, each with one band."""
ImageLocation = str | bytes | Item | BandUrls
"""URL of an image or of a STAC Item, a STAC Item, the bytes of an image, or the URLs of its bands."""
RemoteLocation = str | Item | BandUrls
"""Location that a job can read again later."""

MAX_BAND_FILES = 4
"""Maximum number of URLs of one image: the polarizations of a fully polarimetric product."""

MAX_URL_CHARS = 8192
"""Maximum length of an image's URL, except for a ``data:`` URL."""


def url_scheme(url: str) -> str:
    """The scheme of a URL in lower case, or an empty string; a long data: URL isn't copied."""
    return url[: max(url.find(":"), 0)].lower()


def urls_of(location: ImageLocation) -> tuple[str, ...]:
    """The URLs of an image; none if the request has a STAC Item or the bytes of the image."""
    if isinstance(location, tuple):
        return location
    return (location,) if isinstance(location, str) else ()


def has_own_bytes(location: ImageLocation) -> bool:
    """Whether a request holds the bytes of its image, or of a band of it."""
    return isinstance(location, bytes) or any(url_scheme(url) == "data" for url in urls_of(location))


def only_or_bands(urls: Sequence[object]) -> str | BandUrls:
    """Return the only URL of an image, or the URLs of its bands.

    Raises:
        ValueError: the list is empty, has too many URLs, or has a URL twice.
    """
    found = tuple(url for url in urls[:MAX_BAND_FILES] if isinstance(url, str) and url)
    if not found or len(set(found)) < len(urls):
        raise ValueError(f"must be a URL, or 2 to {MAX_BAND_FILES} different URLs of files with one band each")
    return found[0] if len(found) == 1 else found


def check_url_length(location: ImageLocation) -> None:
    """Check the length of a URL before anything parses it.

    Raises:
        BadRequest: the URL is too long.
    """
    for url in urls_of(location):
        if len(url) > MAX_URL_CHARS and url_scheme(url) != "data":
            raise BadRequest(f"The URL of an image has {len(url)} characters; the limit is {MAX_URL_CHARS}.")


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
