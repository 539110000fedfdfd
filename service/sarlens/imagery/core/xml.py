"""XML documents of products, limited in size and without a document type, so without entities."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sarlens.errors import BadRequest
from sarlens.imagery.core.object_reader import ObjectReader

MAX_BYTES = 8 * 2**20


def read_xml(reader: ObjectReader, error_cls: type[BadRequest]) -> Element:
    """Parse a document and return its root element. Blocks.

    Raises:
        BadRequest: of class ``error_cls``, if the document is too large or isn't XML without a document type.
        SarlensError: the object can't be read.
    """
    if reader.size > MAX_BYTES:
        raise error_cls(f"{reader.name} has {reader.size} bytes; the limit for XML of a product is {MAX_BYTES}.")
    try:
        root: Element = fromstring(reader.read(0, reader.size), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise error_cls(f"{reader.name} isn't valid XML of a Sentinel-1 product.") from None
    return root
