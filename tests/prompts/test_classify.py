"""From a question to its application."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.questions import ask
from sarlens.prompts.applications import CATEGORIES_PREFIX, POSITIONS_PREFIX, Application
from sarlens.prompts.classify import classify, other_kind
from stack.released import BOXED, GENERAL


@pytest.mark.parametrize(("question", "application"), [(row[1], row[3]) for row in (*BOXED, *GENERAL)])
def test_the_known_questions_go_where_the_paper_counts_them(question: str, application: Application) -> None:
    """Every question known from the paper's figures is put under its application."""
    assert classify(question) is application


@pytest.mark.parametrize(
    ("question", "application"),
    [
        ("Are there any ponds or lakes?", Application.OBJECT_IDENTIFICATION),
        ("Is the area mostly urban or rural?", Application.OBJECT_CLASSIFICATION),
        ("Is there a ship in the area [1.0, 2.0, 3.0, 4.0]?", Application.OBJECT_IDENTIFICATION),
        ("How many ships are in the area [1.0, 2.0, 3.0, 4.0]?", Application.INSTANCE_COUNTING),
        ("What is the number of ships?", Application.INSTANCE_COUNTING),
        ("What object lies in [88,376,90,99]?", Application.REGION_REFERRING),
        ("In which part of the image are most tanks?", Application.OBJECT_POSITIONING),
        ("What is the location of the school?", Application.OBJECT_POSITIONING),
        ("Which corner holds the stadium?", Application.OBJECT_POSITIONING),
        ("Why is the field bright?", Application.OTHERS),
        ("What is the object?", Application.OBJECT_CLASSIFICATION),
        ("Describe the content of this image in one sentence.", Application.IMAGE_DESCRIPTION),
        ("???", Application.OTHERS),
    ],
)
def test_the_first_rule_that_fits_decides(question: str, application: Application) -> None:
    """Rules are tried in their order: yes/no, counting, boxes, places, the kinds of Others, then naming."""
    assert classify(question) is application


@pytest.mark.parametrize("prefix", [CATEGORIES_PREFIX, POSITIONS_PREFIX])
@pytest.mark.parametrize(("question", "application"), [(row[1], row[3]) for row in BOXED])
def test_a_prefix_sentence_changes_no_application(prefix: str, question: str, application: Application) -> None:
    """The sentence that names the classes before a SARDet question is not part of what is asked."""
    assert classify(f"{prefix} {question}") is application


def test_others_are_told_apart_as_the_figure_tells_them() -> None:
    """The five kinds that the paper counts under Others are known by their words."""
    kinds = [other_kind(row[1]) for row in GENERAL if row[3] is Application.OTHERS]
    assert kinds == ["Shape", "Direction", "Pattern", "Land Cover", "Reasoning"]


def test_the_simulator_asks_what_the_rules_understand() -> None:
    """Every simulated question is put under the application that it was made for."""
    rng = np.random.default_rng(0)
    asked = [qa for index in range(60) for qa in ask(simulate_chip(5, index, 64, "train").truth, rng)]
    assert {qa.application for qa in asked} == set(Application) - {Application.IMAGE_DESCRIPTION}
    wrong = {(qa.question, qa.application) for qa in asked if classify(qa.question) is not qa.application}
    assert not wrong


@given(st.text())
def test_every_text_has_an_application(text: str) -> None:
    """No question, however odd, is without a place in the tables."""
    assert classify(text) in Application
