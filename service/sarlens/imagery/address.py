"""The place that an image's URL names, in one spelling, so that it can be compared."""

from __future__ import annotations

from yarl import URL

from sarlens.errors import BadRequest
from sarlens.imagery.s3_address import Address


def plain_address(place: str | bytes) -> str:
    """``s3://bucket/key`` with the key decoded, ``https://host/path`` without query and dots, or ``data:``.

    Raises:
        BadRequest: it is none of these.
    """
    if isinstance(place, bytes):
        return "data:"
    scheme = place.partition(":")[0].lower()
    if scheme == "s3":
        return str(Address.parse(place))
    if scheme == "data":
        return "data:"
    try:
        parts = URL(place)
        if scheme == "https" and parts.host and not parts.user:
            port = "" if parts.port in {443, None} else f":{parts.port}"
            return f"https://{parts.host}{port}{parts.path}"
    except (ValueError, IndexError):
        pass
    raise BadRequest("The url of an image has to be an s3:, https: or data: URL.")
