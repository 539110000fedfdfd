"""Reading and validation of rows in the released text files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.dataset.release_files import Subset, TextFile
from sarbench.dataset.rows import InvalidRow, Sample, read_rows
from sarbench.errors import DatasetError

QUESTIONS = TextFile("Text/VQA/SARVQA1_test.csv", "test", Subset.SARVQA1)


CAPTIONS = TextFile("Text/caption/Caption_test1.csv", "test", Subset.CONCISE)


CONVERSATIONS = TextFile("Text/VQA/SARVQA1_test.json", "test", Subset.SARVQA1)


def chunked(data: bytes, size: int = 7) -> Iterator[bytes]:
    """Return bytes in chunks, as a network delivers them."""
    return (data[start : start + size] for start in range(0, len(data), size))


def read_all(file: TextFile, text: str | bytes) -> list[Sample | InvalidRow]:
    """Return all rows of a file."""
    return list(read_rows(file, chunked(text if isinstance(text, bytes) else text.encode())))


def valid_fields(rows: list[Sample | InvalidRow]) -> list[tuple[str, str, str]]:
    """Return image, question, and answer of the valid rows."""
    return [(row.image, row.question, row.answer) for row in rows if isinstance(row, Sample)]


def row_errors(rows: list[Sample | InvalidRow]) -> list[str]:
    """Return the errors of the invalid rows."""
    return [str(row) for row in rows if isinstance(row, InvalidRow)]


@pytest.mark.parametrize(
    "header",
    [
        "Image Name,Question,Answer",
        " Image Name , Question,Answer  ",
        "image name,QUESTION,answer",
        "\ufeffImage Name,Question,Answer",
    ],
)
def test_header_spaces_case_and_byte_order_mark_are_ignored(header: str) -> None:
    """Columns are found regardless of spaces, case, and a byte order mark in the header."""
    assert valid_fields(read_all(QUESTIONS, f"{header}\r\na.png,How many?,2\r\n")) == [("a.png", "How many?", "2")]


def test_extra_columns_and_column_order_are_ignored() -> None:
    """Only the three released columns are read, in any order."""
    rows = read_all(QUESTIONS, "Answer,id,Image Name,Question\n2,77,a.png,How many?\n")
    assert valid_fields(rows) == [("a.png", "How many?", "2")]


def test_answers_keep_case_and_spaces() -> None:
    """Answers are not normalized, because the paper's scorer doesn't strip them."""
    assert valid_fields(read_all(QUESTIONS, 'Image Name,Question,Answer\na.png,Q?," Yes. "\n')) == [
        ("a.png", "Q?", " Yes. ")
    ]


def test_a_multiline_row_is_reported_by_its_first_line() -> None:
    """A quoted field keeps its newline, and later rows keep their line numbers."""
    rows = read_all(CAPTIONS, 'Image Name,Caption\na.png,"one\ntwo"\n\nb.png,\n')
    assert valid_fields(rows) == [("a.png", "", "one\ntwo")]
    assert row_errors(rows) == ["Text/caption/Caption_test1.csv:5: Caption is empty"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Q?,A", "Image Name is empty"),
        ("a.png, ,\t", "Question and Answer are empty"),
        ("a.png,Q?", "2 fields, but the header has 3"),
        ("a.png,Q?,A,B", "4 fields, but the header has 3"),
        ('a.png,"Q"?,A', "not CSV: ',' expected after '\"'"),
        ('a.png,Q?,"A', "not CSV: unexpected end of data"),
    ],
)
def test_invalid_rows_are_reported_by_file_and_line(row: str, reason: str) -> None:
    """An invalid row gives an error with file, line, and reason, and the other rows are read."""
    rows = read_all(QUESTIONS, f"Image Name,Question,Answer\na.png,Q?,A\n{row}\n")
    assert valid_fields(rows) == [("a.png", "Q?", "A")]
    assert row_errors(rows) == [f"Text/VQA/SARVQA1_test.csv:3: {reason}"]


def test_invalid_utf8_makes_its_row_invalid() -> None:
    """Invalid UTF-8 affects only its own row."""
    rows = read_all(QUESTIONS, b"Image Name,Question,Answer\na.png,Q\xff?,A\nb.png,Q?,A\n")
    assert row_errors(rows) == ["Text/VQA/SARVQA1_test.csv:2: Question: not UTF-8"]
    assert valid_fields(rows) == [("b.png", "Q?", "A")]


@pytest.mark.parametrize("text", ["", "Image,Question,Answer\n", "Image Name,Caption\na.png,B\n"])
def test_wrong_columns_are_reported_with_the_present_ones(text: str) -> None:
    """A file with wrong columns raises an error that lists its columns."""
    with pytest.raises(DatasetError, match=r"SARVQA1_test\.csv:1: no column .*; the columns are: "):
        read_all(QUESTIONS, text)


def test_conversations_are_reduced_to_bare_questions() -> None:
    """The image token and the paper's prompt are removed; the path of the image stays."""
    row = {
        "messages": [
            {"role": "user", "content": "<image>Question: How many ships?. Answer the question concisely."},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "Where are most ships?"},
            {"role": "assistant", "content": "left"},
        ],
        "images": ["/data/SARimages/0009787.jpg"],
    }
    image = "/data/SARimages/0009787.jpg"
    assert valid_fields(read_all(CONVERSATIONS, json.dumps([row]))) == [
        (image, "How many ships?", "2"),
        (image, "Where are most ships?", "left"),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "<image>\nQ?"}, {"from": "gpt", "value": "A"}], "image": "a.png"},
        {
            "messages": [
                {"role": "system", "content": "You see radar."},
                {"role": "user", "content": "<image>Q?"},
                {"role": "assistant", "content": "A"},
            ],
            "images": "a.png",
        },
        {"Image Name": "a.png", " question": "Q?", "ANSWER": "A"},
    ],
)
def test_three_json_shapes_are_supported(row: dict[str, object]) -> None:
    """OpenAI messages, ShareGPT conversations, and objects with the CSV's columns give the same row."""
    assert valid_fields(read_all(CONVERSATIONS, json.dumps([row]))) == [("a.png", "Q?", "A")]


@pytest.mark.parametrize(
    "row",
    [
        3,
        "messages",
        None,
        {},
        {"messages": [], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": "Q?"}], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "images": []},
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None}], "images": ["a"]},
        {"messages": [{"role": "assistant", "content": "A"}, {"role": "user", "content": "Q"}], "images": ["a"]},
        {"Image Name": "a.png", "Question": "Q?", "Answer": True},
    ],
)
def test_a_json_row_of_unknown_shape_is_invalid_and_reading_continues(row: object) -> None:
    """A row of unknown shape is reported by its line, and the next row is read."""
    good = {"Image Name": "a.png", "Question": "Q?", "Answer": 4}
    rows = read_all(CONVERSATIONS, f"[\n{json.dumps(row)},\n{json.dumps(good)}\n]")
    assert [fault.partition(": ")[0] for fault in row_errors(rows)] == ["Text/VQA/SARVQA1_test.json:2"]
    assert valid_fields(rows) == [("a.png", "Q?", "4")]


@given(st.binary(max_size=200), st.sampled_from([QUESTIONS, CAPTIONS, CONVERSATIONS]), st.booleans())
def test_arbitrary_bytes_never_crash_the_reader(data: bytes, file: TextFile, with_header: bool) -> None:
    """Any bytes give valid rows, invalid rows, or a DatasetError."""
    start = b"[" if file.is_json else ",".join(file.columns).encode() + b"\n"
    try:
        for row in read_rows(file, chunked(start * with_header + data)):
            assert row.line >= 1
            if isinstance(row, Sample):
                assert row.image.strip()
                assert row.answer.strip()
                row.answer.encode()
    except DatasetError as error:
        assert str(error).startswith(file.path)


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=5), st.integers(1, 50))
def test_csv_round_trip(rows: list[tuple[str, str]], size: int) -> None:
    """Any question and answer survive writing and reading as CSV in chunks of any size."""
    text = io.StringIO()
    csv.writer(text).writerows([("Image Name", "Question", "Answer"), *(("a.png", *row) for row in rows)])
    read_back = list(read_rows(QUESTIONS, chunked(text.getvalue().encode(), size)))
    assert valid_fields(read_back) == [("a.png", *row) for row in rows]
