"""Classification of questions by application."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.questions import generate_questions
from sarlens.prompts.applications import CATEGORIES_PREFIX, POSITIONS_PREFIX, Application
from sarlens.prompts.classify import classify, classify_by_rule, others_subtype
from support.sarlang_fixture import BOXED, GENERAL


@pytest.mark.parametrize(("question", "application"), [(row[1], row[3]) for row in (*BOXED, *GENERAL)])
def test_the_questions_of_the_paper_have_its_applications(question: str, application: Application) -> None:
    """Every question in the paper's figures is classified as in the paper."""
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
def test_the_first_matching_rule_wins(question: str, application: Application) -> None:
    """The rules apply in order: yes/no, counting, boxes, positions, the subtypes of Others, then naming."""
    assert classify(question) is application


def test_hand_written_wordings_have_their_application() -> None:
    """More than 200 wordings beyond the paper's, in ``wordings.tsv``, have the application that a person gave them."""
    lines = (Path(__file__).parent / "wordings.tsv").read_text(encoding="utf-8").splitlines()
    wordings = [line.split("\t") for line in lines]
    assert len({question for _, question in wordings}) == len(wordings) > 200
    assert [(name, question) for name, question in wordings if classify(question) != name] == []


def test_a_question_is_classified_by_a_named_rule() -> None:
    """Each rule has a name, also that of questions to which none applies."""
    assert classify_by_rule("Could you tell me how many ships there are?") == (
        Application.INSTANCE_COUNTING,
        "number of",
    )
    assert classify_by_rule("How are the houses arranged?") == (Application.OTHERS, "Pattern")
    assert classify_by_rule("???") == (Application.OTHERS, "no rule")


@pytest.mark.parametrize("prefix", [CATEGORIES_PREFIX, POSITIONS_PREFIX])
@pytest.mark.parametrize(("question", "application"), [(row[1], row[3]) for row in BOXED])
def test_a_prefix_sentence_changes_no_application(prefix: str, question: str, application: Application) -> None:
    """The sentence that lists the classes before a SARDet question doesn't change its application."""
    assert classify(f"{prefix} {question}") is application


def test_the_subtypes_of_others_match_the_paper() -> None:
    """The five subtypes of Others are detected by their keywords."""
    kinds = [others_subtype(row[1]) for row in GENERAL if row[3] is Application.OTHERS]
    assert kinds == ["Shape", "Direction", "Pattern", "Land Cover", "Reasoning"]


def test_simulated_questions_have_their_own_application() -> None:
    """Every simulated question is classified as the application that it was generated for."""
    rng = np.random.default_rng(0)
    asked = [qa for index in range(60) for qa in generate_questions(simulate_chip(5, index, 64, "train").truth, rng)]
    assert {qa.application for qa in asked} == set(Application) - {Application.IMAGE_DESCRIPTION}
    wrong = {(qa.question, qa.application) for qa in asked if classify(qa.question) is not qa.application}
    assert not wrong


@given(st.text())
def test_every_text_has_an_application(text: str) -> None:
    """Any text has an application."""
    assert classify(text) in Application
