"""How a question is put to the model: the benchmark's words, and plainer ones that people use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarbench.simulate.qa import QA
from sarbench.simulate.questions import PLURALS
from sarbench.train.chips import Known
from sarlens.prompts.applications import (
    CAPTION_PROMPT,
    CATEGORIES_PREFIX,
    DETAIL_PROMPT,
    POSITIONS_PREFIX,
    QUESTION_PROMPT,
    Application,
)

REWORDED: dict[str, tuple[str, ...]] = {
    "any": (
        "Are there {plural}?",
        "Are there any {plural}?",
        "Is there {a} {category}?",
        "Do you see any {plural}?",
        "Are {plural} visible in the image?",
    ),
    "count": (
        "How many {plural} are in the image?",
        "How many {plural} are there?",
        "How many {plural}?",
        "How many {plural} are visible?",
        "Count the {plural}.",
        "What is the number of {plural} in the image?",
    ),
    "where": (
        "Where are the {plural}?",
        "Where are most {plural}?",
        "Where are most of the {plural} located?",
        "In which part of the image are most {plural}?",
    ),
    "area": ("What type of area is this?", "What kind of area is shown?", "What does the image show?"),
    "class": ("What objects are in the image?", "What kind of object is visible?"),
    "land cover": ("What is the main land cover?", "What covers most of the ground?"),
    "use": ("What is this place used for?", "What is the area used for?"),
}
"""Other words for a topic; the benchmark's are left as they are in most questions."""

FRAMES = ("{question}", "{question} Answer briefly.", "{question} Answer in one word.", "Please answer: {question}")
"""What people put around a question."""

AS_BENCHMARK = 0.6
"""Share of questions in the benchmark's exact words."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A user's text, the answer to learn, and the application that it counts for."""

    asked: str
    answer: str
    application: Application


def conversations(known: Known, rng: np.random.Generator | None) -> list[Conversation]:
    """What to ask of a picture: in varied words by ``rng``, in the benchmark's alone if it is None."""
    captions = [
        Conversation(prompt, caption, Application.IMAGE_DESCRIPTION)
        for prompt, caption in zip((CAPTION_PROMPT, DETAIL_PROMPT), known.captions, strict=True)
    ]
    return [*captions, *(Conversation(_put(qa, rng), qa.answer, qa.application) for qa in known.questions)]


def _put(qa: QA, rng: np.random.Generator | None) -> str:
    if rng is None or rng.random() < AS_BENCHMARK:
        prefix = _prefix(qa) if rng is not None and rng.random() < 1 / 3 else ""
        return QUESTION_PROMPT.format(question=prefix + qa.question)
    return str(rng.choice(FRAMES)).format(question=_reworded(qa, rng))


def _prefix(qa: QA) -> str:
    """The classes that come first where subsets of the benchmark are mixed."""
    if not qa.boxed:
        return ""
    return f"{POSITIONS_PREFIX if qa.application is Application.OBJECT_POSITIONING else CATEGORIES_PREFIX} "


def _reworded(qa: QA, rng: np.random.Generator) -> str:
    topic, _, category = qa.topic.partition(" ") if qa.topic not in REWORDED else (qa.topic, "", "")
    wordings = REWORDED.get(topic, ())
    if not wordings or rng.random() < 0.5:
        return qa.question
    article = "an" if category == "aircraft" else "a"
    return str(rng.choice(wordings)).format(category=category, plural=PLURALS.get(category, ""), a=article)
