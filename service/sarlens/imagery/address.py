"""The places that an image is read from, each in one spelling, so that they can be compared."""

from __future__ import annotations

from yarl import URL

from sarlens.errors import BadRequest
from sarlens.imagery.s3_address import Address
from sarlens.imagery.safe import annotation_folder, product_folder
from sarlens.request import View, scheme
from sarlens.stac import Item


def addresses(view: View) -> tuple[str, ...]:
    """All that showing an image reads, spelt as ``plain_address`` does: files, and folders with a slash at their end.

    A product is read as a whole, and the calibration of a measurement from the annotation of its product. What a STAC
    Item leads to is known when its asset has been chosen.

    Raises:
        BadRequest: the image's URL is none.
    """
    place, render = view
    if isinstance(place, Item):
        return ()
    if isinstance(place, bytes):
        return (plain_address(place),)
    if (folder := product_folder(place)) is not None:
        return (_folder(folder),)
    beside = annotation_folder(place) if render is not None and render.calibration != "none" else None
    return (plain_address(place), *((_folder(beside),) if beside else ()))


def _folder(url: str) -> str:
    """The address of a folder, by way of a file in it."""
    return plain_address(f"{url}x").removesuffix("x")


def plain_address(place: str | bytes) -> str:
    """``s3://bucket/key`` with the key decoded, ``https://host/path`` without query and dots, or ``data:``.

    Raises:
        BadRequest: it is none of these.
    """
    if isinstance(place, bytes):
        return "data:"
    kind = scheme(place)
    if kind == "s3":
        return str(Address.parse(place))
    if kind == "data":
        return "data:"
    try:
        parts = URL(place)
        if kind == "https" and parts.host and not parts.user:
            port = "" if parts.port in {443, None} else f":{parts.port}"
            return f"https://{parts.host}{port}{parts.path}"
    except (ValueError, IndexError):
        pass
    raise BadRequest("The url of an image has to be an s3:, https: or data: URL.")
