"""Lines of any bytes, and the lines of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.batches.input_file import InputFile, InputLimits
from sarlens.batches.line import BatchLine, LineResponse, result_document, unanswered_document
from sarlens.errors import SarlensError

CHAT = "/v1/chat/completions"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": VALUES,
        "method": st.sampled_from(["POST", "GET"]) | VALUES,
        "url": st.just(CHAT) | VALUES,
        "body": VALUES,
    },
)


@given(FIELDS | VALUES)
def test_any_line_is_a_request_or_an_error(document: Any) -> None:
    """A JSON value is a request with a POST to the endpoint and an object as its body, or an error of the caller."""
    try:
        line = BatchLine.parse(json.dumps(document).encode(), CHAT)
    except SarlensError as error:
        assert error.status in {400, 413}
        return
    assert document == {**document, "custom_id": line.custom_id, "url": CHAT, "method": "POST", "body": line.body}
    assert 1 <= len(line.custom_id) <= 512


@given(st.lists(st.binary(max_size=12).filter(lambda data: b"\n" not in data), max_size=8), st.booleans())
def test_lines_are_read_by_their_place(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], crlf: bool
) -> None:
    """Each line that isn't empty is read from its place in the file as it stands there, also with other line breaks."""
    path = Path(tmp_path_factory.getbasetemp(), "lines")
    end = b"\r\n" if crlf else b"\n"
    path.write_bytes(end.join(parts))
    lines = InputFile(path, InputLimits(2**20, 100, 64))
    lines.scan()
    expected = [part for part in parts if part.strip()]
    assert [lines.read(index).removesuffix(b"\n").removesuffix(b"\r") for index in range(len(lines))] == [
        part.removesuffix(b"\r") for part in expected
    ]


def test_a_long_line_and_many_lines_are_errors(tmp_path: Path) -> None:
    """A line over the limit of bytes, or one more than the limit of lines, ends the validation."""
    line = json.dumps({"custom_id": "a", "method": "POST", "url": CHAT, "body": {}}).encode()
    path = tmp_path / "lines"
    path.write_bytes(line.replace(b'"a"', b'"b"') + b"\n" + line)
    limits = InputLimits(2**20, 2, len(line))
    assert InputFile(path, limits).validate(CHAT) == []
    assert [error.code for error in InputFile(path, limits._replace(max_lines=1)).validate(CHAT)] == ["too_many_lines"]
    (error,) = InputFile(path, limits._replace(max_line_bytes=len(line) - 1)).validate(CHAT)
    assert (error.code, error.line) == ("line_too_long", 1)


def test_results_are_one_line_of_json() -> None:
    """A body with line breaks and any custom id is one line, with the status, the request id and the body."""
    text = result_document("batch_req_1", 'a"\n', "id-1", LineResponse(200, b'{\n "b": "c\\n"\r\n}'))
    assert "\n" not in text
    assert json.loads(text) == {
        "id": "batch_req_1",
        "custom_id": 'a"\n',
        "response": {"status_code": 200, "request_id": "id-1", "body": {"b": "c\n"}},
        "error": None,
    }
    error = json.loads(unanswered_document("batch_req_2", "b", "batch_expired", "Late."))
    assert (error["response"], error["error"]) == (None, {"code": "batch_expired", "message": "Late."})
