"""Reading the released text files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.dataset.jsonlist import json_list
from sarbench.dataset.layout import Part, Variety
from sarbench.dataset.rows import Fault, Item, read_rows
from sarbench.errors import DatasetError

QUESTIONS = Part("Text/VQA/SARVQA1_test.csv", "test", Variety.SARVQA1)
CAPTIONS = Part("Text/caption/Caption_test1.csv", "test", Variety.CONCISE)
CONVERSATIONS = Part("Text/VQA/SARVQA1_test.json", "test", Variety.SARVQA1)


def pieces(data: bytes, size: int = 7) -> Iterator[bytes]:
    """Bytes as a network hands them over."""
    return (data[start : start + size] for start in range(0, len(data), size))


def read(part: Part, text: str | bytes) -> list[Item | Fault]:
    """All rows of a file."""
    return list(read_rows(part, pieces(text if isinstance(text, bytes) else text.encode())))


def items(rows: list[Item | Fault]) -> list[tuple[str, str, str]]:
    """The fields of the good rows."""
    return [(row.image, row.question, row.answer) for row in rows if isinstance(row, Item)]


def faults(rows: list[Item | Fault]) -> list[str]:
    """The bad rows in words."""
    return [str(row) for row in rows if isinstance(row, Fault)]


@pytest.mark.parametrize(
    "header",
    [
        "Image Name,Question,Answer",
        " Image Name , Question,Answer  ",
        "image name,QUESTION,answer",
        "\ufeffImage Name,Question,Answer",
    ],
)
def test_stray_header_spaces_case_and_byte_order_mark_do_not_matter(header: str) -> None:
    """Columns are known by their words, however the header spells them."""
    assert items(read(QUESTIONS, f"{header}\r\na.png,How many?,2\r\n")) == [("a.png", "How many?", "2")]


def test_further_columns_and_their_order_do_not_matter() -> None:
    """Only the three released columns are read, wherever they stand."""
    rows = read(QUESTIONS, "Answer,id,Image Name,Question\n2,77,a.png,How many?\n")
    assert items(rows) == [("a.png", "How many?", "2")]


def test_an_answer_keeps_its_case_and_spaces() -> None:
    """The paper's scorer does not strip, so neither does the reader."""
    assert items(read(QUESTIONS, 'Image Name,Question,Answer\na.png,Q?," Yes. "\n')) == [("a.png", "Q?", " Yes. ")]


def test_a_row_may_run_over_lines_and_is_named_by_its_first() -> None:
    """A quoted field keeps its newline, and the rows after it keep their true line numbers."""
    rows = read(CAPTIONS, 'Image Name,Caption\na.png,"one\ntwo"\n\nb.png,\n')
    assert items(rows) == [("a.png", "", "one\ntwo")]
    assert faults(rows) == ["Text/caption/Caption_test1.csv:5: Caption is empty"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Q?,A", "Image Name is empty"),
        ("a.png, ,\t", "Question and Answer are empty"),
        ("a.png,Q?", "2 fields where the header has 3"),
        ("a.png,Q?,A,B", "4 fields where the header has 3"),
        ('a.png,"Q"?,A', "not CSV: ',' expected after '\"'"),
        ('a.png,Q?,"A', "not CSV: unexpected end of data"),
    ],
)
def test_each_bad_row_is_named_by_file_and_line(row: str, reason: str) -> None:
    """A bad row is reported where it stands, and the good row before it is still read."""
    rows = read(QUESTIONS, f"Image Name,Question,Answer\na.png,Q?,A\n{row}\n")
    assert items(rows) == [("a.png", "Q?", "A")]
    assert faults(rows) == [f"Text/VQA/SARVQA1_test.csv:3: {reason}"]


def test_bytes_that_are_no_utf8_are_a_fault_of_their_row() -> None:
    """One garbled row does not take the file down."""
    rows = read(QUESTIONS, b"Image Name,Question,Answer\na.png,Q\xff?,A\nb.png,Q?,A\n")
    assert faults(rows) == ["Text/VQA/SARVQA1_test.csv:2: Question: not UTF-8"]
    assert items(rows) == [("b.png", "Q?", "A")]


@pytest.mark.parametrize("text", ["", "Image,Question,Answer\n", "Image Name,Caption\na.png,B\n"])
def test_wrong_columns_are_told_with_what_is_there(text: str) -> None:
    """A file with the wrong columns is refused as a whole, and its own columns are listed."""
    with pytest.raises(DatasetError, match=r"SARVQA1_test\.csv:1: no column .*; its columns are: "):
        read(QUESTIONS, text)


def test_a_conversation_gives_the_bare_question() -> None:
    """The image token and the paper's prompt come off, the folder of the image too."""
    row = {
        "messages": [
            {"role": "user", "content": "<image>Question: How many ships?. Answer the question concisely."},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "Where are most ships?"},
            {"role": "assistant", "content": "left"},
        ],
        "images": ["/data/SARimages/0009787.jpg"],
    }
    image = "0009787.jpg"
    assert items(read(CONVERSATIONS, json.dumps([row]))) == [
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
def test_json_rows_come_in_three_shapes(row: dict[str, object]) -> None:
    """OpenAI messages, ShareGPT conversations and the CSV's columns read the same."""
    assert items(read(CONVERSATIONS, json.dumps([row]))) == [("a.png", "Q?", "A")]


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
def test_a_misshapen_json_row_is_a_fault_and_the_next_is_read(row: object) -> None:
    """A row of another shape is named by its line; reading goes on."""
    good = {"Image Name": "a.png", "Question": "Q?", "Answer": 4}
    rows = read(CONVERSATIONS, f"[\n{json.dumps(row)},\n{json.dumps(good)}\n]")
    assert [fault.partition(": ")[0] for fault in faults(rows)] == ["Text/VQA/SARVQA1_test.json:2"]
    assert items(rows) == [("a.png", "Q?", "4")]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ":1: not a JSON list"),
        ('{"messages": []}', ":1: not a JSON list"),
        ("[1,\n2", ":2: the JSON list breaks off"),
        ('[1,\n{"a": ', ":2: a row that is not JSON or breaks off"),
        ("[1\n 2]", ":2: a comma or the end of the list is missing"),
        ("[1,\n]", ":2: a row that is not JSON or breaks off"),
        ("[1]\nx", ":2: a comma or the end of the list is missing"),
        ("[" * 100_000, ":1: a row that is not JSON or breaks off"),
    ],
)
def test_broken_json_is_told_with_its_line(text: str, where: str) -> None:
    """JSON that cannot be followed to its end stops the file with the line where sense was lost."""
    with pytest.raises(DatasetError) as caught:
        list(json_list("x.json", pieces(text.encode(), 4096)))
    assert str(caught.value) == f"x.json{where}"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 0, 2]))
def test_a_streamed_list_equals_the_loaded_one(values: list[object], size: int, indent: int | None) -> None:
    """However the bytes are cut, streaming a JSON list gives what json.loads gives."""
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(data)
    except UnicodeDecodeError:
        return
    assert [value for _, value in json_list("x.json", pieces(data, size))] == expected


@given(st.binary(max_size=200), st.sampled_from([QUESTIONS, CAPTIONS, CONVERSATIONS]), st.booleans())
def test_no_bytes_break_the_reader(data: bytes, part: Part, with_header: bool) -> None:
    """Any bytes give rows, faults or a DatasetError, never another failure."""
    start = b"[" if part.is_json else ",".join(part.columns).encode() + b"\n"
    try:
        for row in read_rows(part, pieces(start * with_header + data)):
            assert row.line >= 1
            if isinstance(row, Item):
                assert row.image.strip()
                assert row.answer.strip()
                row.answer.encode()
    except DatasetError as error:
        assert str(error).startswith(part.path)


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=5), st.integers(1, 50))
def test_what_was_written_is_read(rows: list[tuple[str, str]], size: int) -> None:
    """Any question and answer survive a round trip through CSV, cut into pieces of any size."""
    text = io.StringIO()
    csv.writer(text).writerows([("Image Name", "Question", "Answer"), *(("a.png", *row) for row in rows)])
    read_back = list(read_rows(QUESTIONS, pieces(text.getvalue().encode(), size)))
    assert items(read_back) == [("a.png", *row) for row in rows]
