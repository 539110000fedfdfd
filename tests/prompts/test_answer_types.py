"""Answer types: structured outputs, and the values of texts."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.questions import generate_questions
from sarlens.prompts.answer_types import BOOLEAN, FREE_TEXT, INTEGER, AnswerType, answer_type_for
from sarlens.prompts.applications import CATEGORIES, CATEGORIES_PREFIX, POSITIONS, POSITIONS_PREFIX, Application
from sarlens.prompts.classify import classify, is_box_derived
from sarlens.prompts.normalize import CELLS
from support.sarlang_fixture import BOXED, GENERAL

CLASS, SIDE, CELL = AnswerType("class", CATEGORIES), AnswerType("position", POSITIONS), AnswerType("position", CELLS)


@pytest.mark.parametrize(
    ("question", "answer_type"),
    [
        ("Are there any ships in the image?", BOOLEAN),
        ("How many ships are in the image?", INTEGER),
        ("What is the object present in the area [1, 2, 3, 4]?", CLASS),
        ("What is the most common object in the image?", CLASS),
        (f"{CATEGORIES_PREFIX} What is in the area [1, 2, 3, 4]?", CLASS),
        ("Where are most harbors positioned within the image?", SIDE),
        ("Where are the storage tanks?", SIDE),
        (f"{POSITIONS_PREFIX} Where is the stadium?", SIDE),
        ("Where is the orchard located?", CELL),
        ("The classes are: field,  forest . What is the area?", AnswerType("class", ("field", "forest"))),
        ("The classes are: . What is the area?", FREE_TEXT),
        ("The classes are: no, yes. Is there a field?", BOOLEAN),
        ("The classes are: here, there. Where is the field?", CELL),
        ("What type of area is mostly visible?", FREE_TEXT),
        ("What is the land cover in the area [1, 2, 3, 4]?", FREE_TEXT),
        ("Describe the image.", FREE_TEXT),
        ("Why is the field bright?", FREE_TEXT),
    ],
)
def test_a_question_has_an_answer_type(question: str, answer_type: AnswerType) -> None:
    """A question has choices only if its answer is one of a fixed set."""
    assert answer_type_for(question, classify(question)) == answer_type


@pytest.mark.parametrize(("question", "answer"), [(row[1], row[2]) for row in (*BOXED, *GENERAL)])
def test_released_answers_have_values(question: str, answer: str) -> None:
    """Every answer in the paper's figures has a value of its question's type."""
    assert answer_type_for(question, classify(question)).parse(answer) is not None


def test_simulated_answers_are_among_the_choices() -> None:
    """The simulated answers in nano's training data are exactly the choices."""
    rng = np.random.default_rng(0)
    asked = [qa for index in range(60) for qa in generate_questions(simulate_chip(5, index, 64, "train").truth, rng)]
    for qa in asked:
        answer_type = answer_type_for(qa.question, qa.application)
        assert not answer_type.choices or qa.answer in answer_type.choices, qa
        assert answer_type.parse(qa.answer) is not None, qa
        assert (
            not qa.boxed
            or not answer_type.choices
            or answer_type is BOOLEAN
            or is_box_derived(qa.question, qa.application)
        )


@pytest.mark.parametrize(
    ("answer_type", "text", "value"),
    [
        (BOOLEAN, "Yes", True),
        (BOOLEAN, "yes, there are.", True),
        (BOOLEAN, "No", False),
        (BOOLEAN, "No ships are visible.", False),
        (BOOLEAN, "unknown", None),
        (BOOLEAN, "Yes or no", None),
        (BOOLEAN, "", None),
        (INTEGER, "7", 7),
        (INTEGER, "twenty-one", 21),
        (INTEGER, "There are three ships.", 3),
        (INTEGER, "2 or 3", None),
        (INTEGER, "2.5", None),
        (INTEGER, "-2", None),
        (INTEGER, "many", None),
        (INTEGER, "9" * 5000, None),
        (INTEGER, "9" * 5000 + " hundred", None),
        (SIDE, "Top", "top"),
        (CELL, "in the upper-left corner", "top left"),
        (CELL, "middle left", "left"),
        (CELL, "centre", "center"),
        (CELL, "near the river", None),
        (CLASS, "Ships.", "ship"),
        (CLASS, "an airplane", "aircraft"),
        (CLASS, "a cow", None),
        (FREE_TEXT, " Grid pattern\n", "Grid pattern"),
        (FREE_TEXT, " ", None),
    ],
)
def test_a_text_has_a_value(answer_type: AnswerType, text: str, value: object) -> None:
    """A text parses to a value of the requested type, or to None."""
    read = answer_type.parse(text)
    assert read == value
    assert type(read) is type(value)


@given(
    st.text() | st.from_regex(r"\s*[0-9]+( hundred)?"),
    st.sampled_from([BOOLEAN, INTEGER, CLASS, SIDE, CELL, FREE_TEXT]),
)
def test_any_text_parses(text: str, answer_type: AnswerType) -> None:
    """Any text parses to None or to a JSON value of the requested type."""
    value = answer_type.parse(text)
    kinds = {"boolean": bool, "integer": int}
    assert value is None or isinstance(value, kinds.get(answer_type.type, str))
    assert answer_type.type not in {"class", "position"} or value is None or value in {*CATEGORIES, *CELLS}
    assert orjson.loads(orjson.dumps(value)) == value


@given(st.text() | st.text().map(lambda text: f"The classes are: {text}"), st.sampled_from(Application))
def test_any_question_has_a_valid_constraint(question: str, application: Application) -> None:
    """The constraint of any question is None, a list of non-empty printable choices, or the regex of a count."""
    constraint = answer_type_for(question, application).constraint or {"regex": "."}
    assert constraint.get("regex") or all(choice and choice.isprintable() for choice in constraint["choice"])
