"""Second opinion on an answer: the targets of a detector in the same pixels."""

from __future__ import annotations

from sarlens.inference.sar_tasks import Task, TaskAnswer
from sarlens.prompts.applications import Application
from sarlens.prompts.object_class import presence_of


def agreement(task: Task, answer: TaskAnswer, targets: int) -> bool | None:
    """Return whether an answer agrees with a number of targets; None if it is neither a number nor yes or no.

    A count agrees if it is the number of targets. Yes agrees with at least one target, and no with none.
    """
    value = answer.value(task.answer_type)
    if task.application is Application.INSTANCE_COUNTING:
        return value == targets if isinstance(value, int) else None
    if task.application is Application.OBJECT_IDENTIFICATION:
        is_present = presence_of(task.application, value)
        return None if is_present is None else is_present == (targets > 0)
    return None
