"""The form of an answer: what a worker is held to, and what a text means."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.questions import ask
from sarlens.prompts.applications import CATEGORIES, CATEGORIES_PREFIX, POSITIONS, POSITIONS_PREFIX, Application
from sarlens.prompts.classify import classify, made_from_boxes
from sarlens.prompts.form import FREE, NUMBER, YES_OR_NO, Form, form_of
from sarlens.prompts.position import CELLS
from stack.released import BOXED, GENERAL

CLASS, SIDE, CELL = Form("class", CATEGORIES), Form("position", POSITIONS), Form("position", CELLS)


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("Are there any ships in the image?", YES_OR_NO),
        ("How many ships are in the image?", NUMBER),
        ("What is the object present in the area [1, 2, 3, 4]?", CLASS),
        ("What is the most common object in the image?", CLASS),
        (f"{CATEGORIES_PREFIX} What is in the area [1, 2, 3, 4]?", CLASS),
        ("Where are most harbors positioned within the image?", SIDE),
        ("Where are the storage tanks?", SIDE),
        (f"{POSITIONS_PREFIX} Where is the stadium?", SIDE),
        ("Where is the orchard located?", CELL),
        ("The classes are: field,  forest . What is the area?", Form("class", ("field", "forest"))),
        ("The classes are: . What is the area?", FREE),
        ("The classes are: no, yes. Is there a field?", YES_OR_NO),
        ("The classes are: here, there. Where is the field?", CELL),
        ("What type of area is mostly visible?", FREE),
        ("What is the land cover in the area [1, 2, 3, 4]?", FREE),
        ("Describe the image.", FREE),
        ("Why is the field bright?", FREE),
    ],
)
def test_a_question_has_a_form(question: str, form: Form) -> None:
    """Only where the answer can be one of few is it held to them."""
    assert form_of(question, classify(question)) == form


@pytest.mark.parametrize(("question", "answer"), [(row[1], row[2]) for row in (*BOXED, *GENERAL)])
def test_released_answers_can_be_read(question: str, answer: str) -> None:
    """Every answer known from the paper's figures has a value in the form of its question."""
    assert form_of(question, classify(question)).read(answer) is not None


def test_simulated_answers_are_among_the_choices() -> None:
    """What the nano was taught to say is what it may say, letter by letter."""
    rng = np.random.default_rng(0)
    asked = [qa for index in range(60) for qa in ask(simulate_chip(5, index, 64, "train").truth, rng)]
    for qa in asked:
        form = form_of(qa.question, qa.application)
        assert not form.choices or qa.answer in form.choices, qa
        assert form.read(qa.answer) is not None, qa
        assert not qa.boxed or not form.choices or form is YES_OR_NO or made_from_boxes(qa.question, qa.application)


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (YES_OR_NO, "Yes", True),
        (YES_OR_NO, "yes, there are.", True),
        (YES_OR_NO, "No", False),
        (YES_OR_NO, "No ships are visible.", False),
        (YES_OR_NO, "unknown", None),
        (YES_OR_NO, "Yes or no", None),
        (YES_OR_NO, "", None),
        (NUMBER, "7", 7),
        (NUMBER, "twenty-one", 21),
        (NUMBER, "There are three ships.", 3),
        (NUMBER, "2 or 3", None),
        (NUMBER, "2.5", None),
        (NUMBER, "-2", None),
        (NUMBER, "many", None),
        (NUMBER, "9" * 5000, None),
        (NUMBER, "9" * 5000 + " hundred", None),
        (SIDE, "Top", "top"),
        (CELL, "in the upper-left corner", "top left"),
        (CELL, "middle left", "left"),
        (CELL, "centre", "center"),
        (CELL, "near the river", None),
        (CLASS, "Ships.", "ship"),
        (CLASS, "an airplane", "aircraft"),
        (CLASS, "a cow", None),
        (FREE, " Grid pattern\n", "Grid pattern"),
        (FREE, " ", None),
    ],
)
def test_a_text_has_a_value(form: Form, text: str, value: object) -> None:
    """A text is read in the form that was asked for, and has no value where it cannot be."""
    read = form.read(text)
    assert read == value
    assert type(read) is type(value)


@given(
    st.text() | st.from_regex(r"\s*[0-9]+( hundred)?"), st.sampled_from([YES_OR_NO, NUMBER, CLASS, SIDE, CELL, FREE])
)
def test_any_text_can_be_read(text: str, form: Form) -> None:
    """Whatever a model says, it has a value of the form's type that JSON can carry, or none."""
    value = form.read(text)
    kinds = {"boolean": bool, "integer": int}
    assert value is None or isinstance(value, kinds.get(form.type, str))
    assert form.type not in {"class", "position"} or value is None or value in {*CATEGORIES, *CELLS}
    assert orjson.loads(orjson.dumps(value)) == value


@given(st.text() | st.text().map(lambda text: f"The classes are: {text}"), st.sampled_from(Application))
def test_any_question_has_a_form(question: str, application: Application) -> None:
    """Whatever is asked, the constraint is none, or one of non-empty printable choices, or a count's."""
    constraint = form_of(question, application).constraint or {"regex": "."}
    assert constraint.get("regex") or all(choice and choice.isprintable() for choice in constraint["choice"])
