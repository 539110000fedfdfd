"""Answers in the wordings of models, with what each rule and the gateway read in them.

In ``answers.tsv``, ``right`` has the rules by which the answer is correct: s for the strict, l for the lenient, p for
the paper's, and a question mark if the paper's rule leaves it to a judge. ``value`` is the gateway's typed value as
JSON; it is empty for truths whose type is text.
"""

from __future__ import annotations

import csv
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.score.lenient_rule import is_leniently_correct
from sarbench.score.paper_rule import PaperVerdict, apply_paper_rule
from sarbench.score.strict_rule import is_strictly_correct
from sarlens.chat.reasoning import split_reasoning
from sarlens.prompts.answer_types import BOOLEAN, INTEGER, AnswerType
from sarlens.prompts.applications import CATEGORIES
from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import CELLS

CLASS, CELL = AnswerType("class", CATEGORIES), AnswerType("position", CELLS)


def read_rows() -> list[dict[str, str]]:
    """Return the rows of the table, with line breaks in place of ``\\n``."""
    with (Path(__file__).parent / "answers.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in rows:
        row["answer"] = row["answer"].replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
    return rows


ROWS = read_rows()


def type_of(truth: str) -> AnswerType:
    """Return the answer type of a truth."""
    return BOOLEAN if truth in {"Yes", "No"} else INTEGER if truth.isdigit() else CLASS if truth in CATEGORIES else CELL


def test_the_table_has_200_answers() -> None:
    """The table has at least 200 different answers."""
    assert len({(row["truth"], row["answer"]) for row in ROWS}) == len(ROWS) >= 200


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['truth']}-{row['answer']!r}")
def test_every_rule_reads_the_answer(row: dict[str, str]) -> None:
    """The strict, lenient, and paper's rule, and the typed value of the gateway, are those of the table."""
    truth, answer = row["truth"], row["answer"]
    paper = {PaperVerdict.CORRECT: "p", PaperVerdict.WRONG: "", PaperVerdict.NEEDS_JUDGE: "?"}
    right = "s" * is_strictly_correct(truth, answer) + "l" * is_leniently_correct(truth, answer)
    without_reasoning = split_reasoning(answer)[1]
    right += paper[apply_paper_rule(truth, without_reasoning)] if without_reasoning else ""
    assert right == row["right"]
    if row["value"]:
        value = type_of(truth).parse(answer)
        assert orjson.dumps(value).decode() == row["value"]


@given(st.text(), st.text())
def test_the_lenient_rule_accepts_all_that_the_strict_rule_does(truth: str, answer: str) -> None:
    """The lenient rule never rejects an answer that the strict rule accepts."""
    assert is_leniently_correct(truth, answer) >= is_strictly_correct(truth, answer)


@given(st.text(alphabet="ab1 ,.:*#$`{}[]<>\\\n/") | st.text(), st.integers(0, 40))
def test_a_text_that_ends_in_its_reasoning_has_no_answer(text: str, end: int) -> None:
    """However a text goes on, it has no final answer if it ends within its first block of reasoning."""
    assert final_answer(f"<think>{text.replace('/', '')}"[: 7 + end]) == ""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["1,", "\\boxed{**[`$<answer>"])
def test_the_time_of_a_reading_is_proportional_to_the_length(part: str) -> None:
    """A hostile text of 100,000 repeated parts is read in linear time: it ends within the limit of the test."""
    assert not is_leniently_correct("7", part * 100_000)
