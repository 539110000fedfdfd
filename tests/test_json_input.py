"""JSON of callers is bounded by the number of its values and the size of its texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens import json_input
from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.json_input import MAX_TEXT_BYTES, MAX_VALUES, dump_json, has_few_values, load_json, text_bytes

TEXTS = st.text(alphabet='\\",[{}]:aé 😀', max_size=12) | st.integers(0, 40).map(lambda length: "data:" + "A" * length)
DOCUMENTS = st.recursive(
    st.none() | st.integers(0, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["url", "image"]) | TEXTS, inner),
    max_leaves=20,
)


def count_values(document: Any) -> int:
    """Number of values, with one more for each empty array and object."""
    if isinstance(document, dict | list):
        inner = list(document.values()) if isinstance(document, dict) else document
        return 1 + sum(map(count_values, inner)) + (not inner)
    return 1


@given(document=DOCUMENTS, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_values_are_counted_in_the_bytes(document: Any, ascii_only: bool, indent: int | None) -> None:
    """Quotation marks, backslashes and brackets in texts don't count, also where they are cut into pieces."""
    data = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    values = count_values(document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_input, "_PIECE_BYTES", 7)
        patch.setattr(json_input, "MAX_VALUES", values)
        assert has_few_values(data)
        patch.setattr(json_input, "MAX_VALUES", values - 1 - data.count(b"[]") - data.count(b"{}"))
        assert not has_few_values(data) or values == 1 or b"[]" in data or b"{}" in data


@given(document=DOCUMENTS, indent=st.sampled_from([None, 1]))
def test_data_urls_are_put_back(document: Any, indent: int | None) -> None:
    """A document is the same as without bounds, unless a data: URL is in a field that can't have one."""
    data = json.dumps(document, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_input, "MAX_INLINE_BYTES", 0)
        patch.setattr(json_input, "_LONG_URL_BYTES", 10)
        try:
            assert load_json(data) == document
        except PayloadTooLarge:
            assert b'"data:AAA' in data


def test_a_text_with_many_commas_is_one_value() -> None:
    """A prompt of 1 MB with 350,000 commas, quotation marks and brackets is accepted, unchanged."""
    prompt = '"1",[2],{"3"},' * 75_000
    body = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
    assert load_json(body)["messages"][0]["content"] == prompt


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        (b"[" + b"1," * (MAX_VALUES - 2) + b"1]", True),
        (b"[" + b"1," * (MAX_VALUES - 1) + b"1]", False),
        (b"[" + b" " * 2**18 + b"{}," * (MAX_VALUES // 2 - 2) + b"{}]", True),
        (b"[" + b"{}," * MAX_VALUES + b"1]", False),
        (b'{"prompt":"' + b"a" * (MAX_TEXT_BYTES - 20) + b'"}', True),
        (b'{"prompt":"' + b"a" * MAX_TEXT_BYTES + b'"}', False),
        (b'{"image_url":"data:image/png;base64,' + b"A" * 2 * MAX_TEXT_BYTES + b'"}', True),
        (b'{"content":"data:image/png;base64,' + b"A" * 2 * MAX_TEXT_BYTES + b'"}', False),
        (b'{"content":"\\"data:image/png;base64,' + b"A" * 2 * MAX_TEXT_BYTES + b'"}', False),
        (b'{"url":[' + b'"data:image/png;base64,A",' * MAX_VALUES + b"1]}", False),
    ],
)
def test_limits(body: bytes, accepted: bool) -> None:
    """131,072 values and 8 MiB of text are accepted, and any ``data:`` URL in a field of images.

    An empty array or object counts twice.
    """
    if accepted:
        load_json(body)
    else:
        with pytest.raises(PayloadTooLarge):
            load_json(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"url":"data:' + b"A" * 300_000 + "é".encode() + b'"}', "The body has a data: URL with characters"),
        (b"[" * 2000 + b"]" * 2000, "The body is not valid JSON"),
        (b'{"url":"data:' + b"A" * 300_000, "The body is not valid JSON"),
    ],
)
def test_invalid_bodies_are_rejected(body: bytes, message: str) -> None:
    """A long URL that isn't ASCII, deep nesting and a cut body are BadRequest; the message doesn't quote the body."""
    with pytest.raises(BadRequest, match=message) as rejected:
        load_json(body)
    assert len(rejected.value.message) < 200


def test_deep_documents_can_be_parsed_but_not_serialized() -> None:
    """The parser accepts more depth than the serializer, whose error is the caller's."""
    with pytest.raises(BadRequest, match="nested too deeply"):
        dump_json(load_json(b"[" * 500 + b"]" * 500))


@pytest.mark.parametrize(("url_bytes", "other_bytes"), [(1000, 1000), (2**20, 1000), (2**20, 300_000), (5 * 2**20, 0)])
def test_the_size_of_the_text(url_bytes: int, other_bytes: int) -> None:
    """The size without long data: URLs decides about a thread; a document over 4 MiB isn't scanned for them."""
    url = b"data:" + b"A" * (url_bytes - 5)
    body = b'{"url": "' + url + b'", "text": "' + b"x" * other_bytes + b'"}'
    scanned = 256 * 2**10 < len(body) <= 4 * 2**20
    assert len(body) - text_bytes(body) == (url_bytes if scanned else 0)
