"""XML documents of products."""

from __future__ import annotations

import pytest

from sarlens.errors import CalibrationMissing
from sarlens.imagery.core.object_reader import InMemoryObject
from sarlens.imagery.core.xml import MAX_BYTES, read_xml


def document(data: bytes) -> InMemoryObject:
    """An object with some bytes."""
    return InMemoryObject("s3://scenes/a.xml", "v", data)


def test_a_document_of_the_limit_is_parsed() -> None:
    """A document of exactly 8 MiB is parsed, and one byte more is rejected by its size."""
    data = b"<a>" + b" " * (MAX_BYTES - 7) + b"</a>"
    assert len(data) == 8 * 2**20
    assert read_xml(document(data), CalibrationMissing).tag == "a"
    with pytest.raises(CalibrationMissing) as rejected:
        read_xml(document(data + b" "), CalibrationMissing)
    message = "s3://scenes/a.xml has 8388609 bytes; the limit for XML of a product is 8388608."
    assert rejected.value.message == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<a>",
        b"II*\0",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>',
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
    ],
)
def test_other_documents_are_rejected(data: bytes) -> None:
    """Broken XML, document types, entities and unknown encodings are rejected with the caller's error class."""
    with pytest.raises(CalibrationMissing, match="isn't valid XML of a Sentinel-1 product"):
        read_xml(document(data), CalibrationMissing)
