"""The words around a question: those of the paper, whoever asks."""

from __future__ import annotations

import pytest

from sarlens.prompts.applications import CATEGORIES_PREFIX, POSITIONS_PREFIX, Application
from sarlens.prompts.wording import caption_prompt, question_prompt
from sarlens.tasks import question_task


@pytest.mark.parametrize(
    ("question", "application", "before"),
    [
        ("How many ships are there?", Application.INSTANCE_COUNTING, ""),
        ("What is in [1, 2, 3, 4]?", Application.REGION_REFERRING, f"{CATEGORIES_PREFIX} "),
        ("Where are most ships?", Application.OBJECT_POSITIONING, f"{POSITIONS_PREFIX} "),
        (f"{CATEGORIES_PREFIX} What is in [1, 2, 3, 4]?", Application.REGION_REFERRING, ""),
    ],
)
def test_classes_come_once_and_where_they_are_chosen_from(question: str, application: Application, before: str) -> None:
    """The sentence that lists the classes goes before a question that has none and chooses from them."""
    framed = "Question: {}. Answer the question concisely."
    assert question_prompt(f" {question}\n", application, classes=True) == framed.format(before + question)
    assert question_prompt(question, application, classes=False) == framed.format(question)
    assert question_task(question, None).prompt == framed.format(before + question)


def test_a_wish_for_a_description_keeps_its_words() -> None:
    """A description is not asked for concisely."""
    assert question_task("Describe the harbor.", None).prompt == "Describe the harbor."


def test_the_styles_of_captions_differ() -> None:
    """The paper's prompt asks for a sentence, ours for detail."""
    assert caption_prompt("concise") == "Describe the content of this image in one sentence."
    assert "detail" in caption_prompt("complex")
