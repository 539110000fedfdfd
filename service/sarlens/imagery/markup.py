"""XML of products: small, plain documents without a document type, and so without entities."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sarlens.errors import BadRequest
from sarlens.imagery.blob import Blob

MAX_BYTES = 8 * 2**20


def read_xml(blob: Blob, refusal: type[BadRequest]) -> Element:
    """The root of a document.

    Raises:
        BadRequest: as ``refusal``, where it is too large, or no such XML.
        SarlensError: whatever reading the blob raises.
    """
    if blob.size > MAX_BYTES:
        raise refusal(f"{blob.name} has {blob.size} bytes; XML of a product may have {MAX_BYTES}.")
    try:
        root: Element = fromstring(blob.read(0, blob.size), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise refusal(f"{blob.name} is no XML of a Sentinel-1 product.") from None
    return root
