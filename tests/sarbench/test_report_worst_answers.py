"""Selection of the worst answers."""

from __future__ import annotations

from dataclasses import replace

from sarbench.dataset.release_files import Subset
from sarbench.report.worst_answers import worst_answers
from sarbench.run.answers import Answer
from sarlens.prompts.applications import Application
from support.sarlang_fixture import BOXED


def answer(number: int, application: Application, truth: str, text: str) -> Answer:
    """Return an answer to a question of an application."""
    question = "Q?"
    return Answer(f"t.csv#{number}", "a.png", "test", Subset.SARVQA1, application, question, truth, text, 0.1)


def test_worst_answers_alternate_between_applications() -> None:
    """Each application contributes its next worst answer in turn."""
    counting, others = Application.INSTANCE_COUNTING, Application.OTHERS
    counted = [answer(number, counting, "3", str(3 + number)) for number in range(9)]
    odd = [answer(100 + number, others, "Urban", "Sea") for number in range(50)]
    caption = replace(answer(200, Application.IMAGE_DESCRIPTION, "a ship", "a car"), subset=Subset.CONCISE, question="")
    poor_answers = worst_answers([*counted, *odd, answer(300, others, "Urban", "urban"), caption], 6)
    assert [(poor.answer.application, poor.remark) for poor in poor_answers] == [
        (Application.IMAGE_DESCRIPTION, "CIDEr 0"),
        (counting, "off by 8"),
        (others, ""),
        (counting, "off by 7"),
        (others, ""),
        (counting, "off by 6"),
    ]


def test_at_most_100_wrong_answers_are_selected() -> None:
    """Correct answers are never selected, and at most 100 wrong ones."""
    right = [answer(number, Application.OTHERS, "Urban", "urban") for number in range(5)]
    wrong = [answer(number, row[3], row[2], "?") for number, row in enumerate(BOXED * 40, 10)]
    assert worst_answers(right) == []
    assert len(worst_answers([*right, *wrong])) == 100
