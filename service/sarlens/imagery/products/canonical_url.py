"""Canonical URLs, which access rules of API keys are compared with."""

from __future__ import annotations

from yarl import URL

from sarlens.errors import BadRequest
from sarlens.imagery.products.sentinel1_safe import annotation_folder, parse_safe_url
from sarlens.imagery.sources.https_url import canonical_https_url
from sarlens.imagery.sources.s3_url import S3Url
from sarlens.stac import Item
from sarlens.types.gdal_path import describe_gdal_path
from sarlens.types.image_request import ImageRequest, check_url_length, url_scheme


def accessed_urls(image_request: ImageRequest) -> tuple[str, ...]:
    """Canonical URLs of everything that a rendering reads: files, and folders with a slash at the end.

    A product is read as a whole. The calibration of a measurement reads the annotation of its product. A STAC Item
    in the request has no URL of its own; the URL of its asset is checked after the asset is selected.

    Raises:
        BadRequest: the image's URL isn't valid.
    """
    location, render = image_request
    check_url_length(location)
    if isinstance(location, tuple):
        return tuple(found for url in location for found in accessed_urls(ImageRequest(url, render)))
    if isinstance(location, Item):
        return ()
    if isinstance(location, bytes):
        return (canonical_url(location),)
    if (folder := parse_safe_url(location)) is not None:
        return (_canonical_folder(folder),)
    annotation = annotation_folder(location) if render is not None and render.calibration != "none" else None
    return (canonical_url(location), *((_canonical_folder(annotation),) if annotation else ()))


def _canonical_folder(url: str) -> str:
    """The canonical URL of a folder, derived from that of a file in it."""
    return canonical_url(f"{url}x").removesuffix("x")


def canonical_url(location: str | bytes) -> str:
    """``s3://bucket/key`` with the key decoded, ``https://host/path`` without query and dot segments, or ``data:``.

    Raises:
        BadRequest: the URL has another form.
    """
    if isinstance(location, bytes):
        return "data:"
    scheme = url_scheme(location)
    if scheme == "s3":
        return str(S3Url.parse(location))
    if scheme == "data":
        return "data:"
    try:
        url = URL(location)
        if scheme == "https" and url.host and not url.user:
            return canonical_https_url(url)
    except (ValueError, IndexError):
        pass
    raise BadRequest(describe_gdal_path(location) or "The URL of an image must be an s3:, https: or data: URL.")
