"""Wording of training prompts: the benchmark's own, and paraphrases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarbench.simulate.qa import QA
from sarbench.simulate.questions import PLURALS
from sarbench.train.shards import ChipLabels
from sarlens.prompts.applications import (
    CAPTION_PROMPT,
    CATEGORIES_PREFIX,
    DETAIL_PROMPT,
    POSITIONS_PREFIX,
    QUESTION_PROMPT,
    Application,
)

PARAPHRASES: dict[str, tuple[str, ...]] = {
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
"""Paraphrases by topic. Most questions keep the benchmark's wording."""

PROMPT_TEMPLATES = (
    "{question}",
    "{question} Answer briefly.",
    "{question} Answer in one word.",
    "Please answer: {question}",
)
"""Prompt templates around a paraphrased question."""

BENCHMARK_WORDING_RATIO = 0.6
"""Fraction of questions in the benchmark's exact wording."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A prompt, the answer to learn, and its application."""

    prompt: str
    answer: str
    application: Application


def make_conversations(labels: ChipLabels, rng: np.random.Generator | None) -> list[Conversation]:
    """Return the conversations about a chip, paraphrased by ``rng``, or in the benchmark's wording for None."""
    captions = [
        Conversation(prompt, caption, Application.IMAGE_DESCRIPTION)
        for prompt, caption in zip((CAPTION_PROMPT, DETAIL_PROMPT), labels.captions, strict=True)
    ]
    return [*captions, *(Conversation(_prompt(qa, rng), qa.answer, qa.application) for qa in labels.questions)]


def _prompt(qa: QA, rng: np.random.Generator | None) -> str:
    if rng is None or rng.random() < BENCHMARK_WORDING_RATIO:
        prefix = _class_prefix(qa) if rng is not None and rng.random() < 1 / 3 else ""
        return QUESTION_PROMPT.format(question=prefix + qa.question)
    return str(rng.choice(PROMPT_TEMPLATES)).format(question=_paraphrase(qa, rng))


def _class_prefix(qa: QA) -> str:
    """Return the class list that precedes a boxed question if subsets are mixed."""
    if not qa.boxed:
        return ""
    return f"{POSITIONS_PREFIX if qa.application is Application.OBJECT_POSITIONING else CATEGORIES_PREFIX} "


def _paraphrase(qa: QA, rng: np.random.Generator) -> str:
    topic, _, category = qa.topic.partition(" ") if qa.topic not in PARAPHRASES else (qa.topic, "", "")
    wordings = PARAPHRASES.get(topic, ())
    if not wordings or rng.random() < 0.5:
        return qa.question
    article = "an" if category == "aircraft" else "a"
    return str(rng.choice(wordings)).format(category=category, plural=PLURALS.get(category, ""), a=article)
