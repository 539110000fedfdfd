"""Forms of uploads: any split of the bytes, hostile forms, and python-multipart as the oracle."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import Field, File, FormParser

from sarlens.api.batches.multipart import MultipartParser
from sarlens.errors import BadRequest, PayloadTooLarge

BOUNDARY = "b0"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
BYTES = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b0", b"\r\n--b", b"\r\n--b0x", b"x", b"\0", b"b0"])).map(
    b"".join
)


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    """One part of a form."""
    file = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: application/jsonl'
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A complete form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def parse(body: bytes, step: int = 2**20) -> tuple[bytes, str | None, dict[str, str]]:
    """Parse a form in pieces; return the content of the file, its name and the fields."""
    content = bytearray()
    parser = MultipartParser(CONTENT_TYPE, "file", content.extend)
    for start in range(0, len(body), step):
        parser.feed(body[start : start + step])
    parser.end()
    return bytes(content), parser.filename, parser.fields


def parse_by_oracle(body: bytes) -> tuple[bytes, str | None, dict[str, str]]:
    """The same by python-multipart."""
    files: list[File] = []
    fields: dict[str, str] = {}

    def on_field(field: Field) -> None:
        fields[(field.field_name or b"").decode()] = (field.value or b"").decode()

    parser = FormParser("multipart/form-data", on_field, files.append, boundary=BOUNDARY)
    parser.write(body)
    parser.finalize()
    (file,) = files
    assert isinstance(file.file_object, io.BytesIO)
    return file.file_object.getvalue(), (file.file_name or b"").decode(), fields


@given(BYTES.filter(lambda content: b"\r\n--b0" not in b"\r\n" + content), st.integers(1, 9), st.booleans())
def test_any_content_arrives_in_any_pieces(content: bytes, step: int, file_first: bool) -> None:
    """Content with parts of delimiters in it comes out as it went in, as python-multipart has it."""
    parts = [part("file", content, 'a"b.jsonl'.replace('"', "%22")), part("purpose", b"batch")]
    body = form(*(parts if file_first else parts[::-1]))
    expected = content, "a%22b.jsonl", {"purpose": "batch"}
    assert parse(body, step) == expected == parse_by_oracle(body)


def test_boundaries_and_names_can_be_quoted() -> None:
    """A quoted boundary, a preamble and an escaped quotation mark of a name are read."""
    content = bytearray()
    parser = MultipartParser(f'multipart/form-data; charset=utf-8; boundary="{BOUNDARY}"', "file", content.extend)
    parser.feed(b"preamble\r\n" + form(part("file", b"x", 'a\\"b')))
    parser.end()
    assert (bytes(content), parser.filename) == (b"x", 'a"b')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ended before"),
        (part("file", b"x", "a"), "ended before"),
        (form(part("purpose", b"batch")), "file is missing"),
        (form(part("file", b"x", "a"), part("file", b"x", "a")), "several files"),
        (form(part("file", b"x", "a"), part("purpose", b"\xff")), "isn't UTF-8"),
        (form(b"--b0\r\nContent-Type: x\r\n\r\nx\r\n"), "no name"),
        (b"--b0 and more\r\n", "malformed delimiter"),
    ],
)
def test_malformed_forms_are_rejected(body: bytes, message: str) -> None:
    """A form that is cut off, or that isn't one file and texts, is a bad request."""
    with pytest.raises(BadRequest, match=message):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b"--b0\r\n" + b"x" * 9000,
        form(part("a", b"x" * 9000)),
        form(*(part(f"f{index}", b"") for index in range(17))),
    ],
)
def test_forms_have_limits(body: bytes) -> None:
    """Headers, a field and the number of fields are limited before the form is complete."""
    with pytest.raises(PayloadTooLarge):
        parse(body, 512)


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=b"])
def test_other_bodies_are_rejected(content_type: str) -> None:
    """A body of another type has no parser."""
    with pytest.raises(BadRequest, match="multipart/form-data"):
        MultipartParser(content_type, "file", bytes)
