"""The class of objects that a question is about."""

from __future__ import annotations

import pytest

from sarlens.prompts.applications import Application
from sarlens.prompts.classify import classify
from sarlens.prompts.object_class import object_class, presence_of


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many ships are in the image?", "ship"),
        ("How many small vessels can you see in the harbor?", "ship"),
        ("What is the number of storage tanks?", "tank"),
        ("Count the airplanes.", "aircraft"),
        ("Is there a ship in the image?", "ship"),
        ("Are there any boats near the bridge?", "ship"),
        ("Where is the aircraft located?", "aircraft"),
        ("Where are most harbors positioned within the image?", "harbor"),
        ("How many oil platforms are there?", "oil platform"),
        ("The classes are: top, left. Where is the car?", "car"),
        ("How many ships and tanks are in the image?", None),
        ("What does the image show?", None),
        ("What is the object present in the area [1, 2, 3, 4]?", None),
        ("Is the road around the stadium?", None),
        ("Describe the ships.", None),
        ("How many", None),
    ],
)
def test_the_class_of_a_question(question: str, expected: str | None) -> None:
    """Questions that count, look for or locate one class have it in the singular, with the names of SARLANG-1M."""
    assert object_class(question, classify(question)) == expected


@pytest.mark.parametrize(
    ("application", "value", "expected"),
    [
        (Application.INSTANCE_COUNTING, 0, False),
        (Application.INSTANCE_COUNTING, 3, True),
        (Application.INSTANCE_COUNTING, None, None),
        (Application.OBJECT_IDENTIFICATION, False, False),
        (Application.OBJECT_IDENTIFICATION, True, True),
        (Application.OBJECT_POSITIONING, "top", True),
        (Application.OBJECT_POSITIONING, None, None),
    ],
)
def test_what_an_answer_says_about_presence(application: Application, value: object, expected: bool | None) -> None:
    """Counts above zero, yes and a position mean that there are objects."""
    assert presence_of(application, value) is expected
