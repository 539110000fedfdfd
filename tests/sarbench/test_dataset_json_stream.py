"""The streaming reader for JSON lists."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.dataset.json_stream import iter_json_list
from sarbench.errors import DatasetError


def chunked(data: bytes, size: int = 7) -> Iterator[bytes]:
    """Return bytes in chunks, as a network delivers them."""
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: not a JSON list"),
        ('{"messages": []}', ":1: not a JSON list"),
        ("[1,\n2", ":2: the JSON list is truncated"),
        ('[1,\n{"a": ', ":2: a row is not valid JSON or is truncated"),
        ("[1\n 2]", ":2: a comma or the end of the list is missing"),
        ("[1,\n]", ":2: a row is not valid JSON or is truncated"),
        ("[1]\nx", ":2: a comma or the end of the list is missing"),
        ("[" * 100_000, ":1: a row is not valid JSON or is truncated"),
    ],
)
def test_broken_json_is_reported_with_its_line(text: str, message: str) -> None:
    """Broken JSON raises an error that names the file, the line, and the cause."""
    with pytest.raises(DatasetError) as caught:
        list(iter_json_list("x.json", chunked(text.encode(), 4096)))
    assert str(caught.value) == f"x.json{message}"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 0, 2]))
def test_a_streamed_list_equals_json_loads(values: list[object], size: int, indent: int | None) -> None:
    """For any chunk size, the elements equal those of json.loads."""
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(data)
    except UnicodeDecodeError:
        return
    assert [value for _, value in iter_json_list("x.json", chunked(data, size))] == expected
