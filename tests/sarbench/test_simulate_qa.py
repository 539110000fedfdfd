"""Question-answer pairs."""

from __future__ import annotations

from sarbench.simulate.qa import QA
from sarlens.prompts.applications import CATEGORIES_PREFIX, POSITIONS_PREFIX, Application


def test_class_lists_precede_boxed_questions() -> None:
    """Boxed questions for a class or position have SARDet's class list; other questions don't."""
    lists = {
        Application.REGION_REFERRING: f"{CATEGORIES_PREFIX} q?",
        Application.OBJECT_CLASSIFICATION: f"{CATEGORIES_PREFIX} q?",
        Application.OBJECT_POSITIONING: f"{POSITIONS_PREFIX} q?",
    }
    for application in Application:
        assert QA(application, "", "q?", "").question_with_classes == lists.get(application, "q?")
        assert QA(application, "", "q?", "", boxed=False).question_with_classes == "q?"
