"""Prompt templates of the paper."""

from __future__ import annotations

import pytest

from sarlens.inference.sar_tasks import vqa_task
from sarlens.prompts.applications import CATEGORIES_PREFIX, POSITIONS_PREFIX, Application
from sarlens.prompts.templates import caption_prompt, question_prompt


@pytest.mark.parametrize(
    ("question", "application", "before"),
    [
        ("How many ships are there?", Application.INSTANCE_COUNTING, ""),
        ("What is in [1, 2, 3, 4]?", Application.REGION_REFERRING, f"{CATEGORIES_PREFIX} "),
        ("Where are most ships?", Application.OBJECT_POSITIONING, f"{POSITIONS_PREFIX} "),
        (f"{CATEGORIES_PREFIX} What is in [1, 2, 3, 4]?", Application.REGION_REFERRING, ""),
    ],
)
def test_the_list_of_classes_precedes_the_question_once(question: str, application: Application, before: str) -> None:
    """The list of classes precedes a question that chooses from it and doesn't contain it yet."""
    framed = "Question: {}. Answer the question concisely."
    assert question_prompt(f" {question}\n", application, classes=True) == framed.format(before + question)
    assert question_prompt(question, application, classes=False) == framed.format(question)
    assert vqa_task(question, None).prompt == framed.format(before + question)


def test_a_description_request_keeps_its_words() -> None:
    """The prompt for a description doesn't request a concise answer."""
    assert vqa_task("Describe the harbor.", None).prompt == "Describe the harbor."


def test_the_styles_of_captions_differ() -> None:
    """The concise prompt is the paper's; the complex prompt requests detail."""
    assert caption_prompt("concise") == "Describe the content of this image in one sentence."
    assert "detail" in caption_prompt("complex")
