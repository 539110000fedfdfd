"""Questions and answers from the ground truth of an image, with the wording and answer forms of SARLANG-1M."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sarbench.simulate.arrangement import classify_arrangement
from sarbench.simulate.general_questions import general_questions
from sarbench.simulate.ground_truth import GroundTruth, LabeledBox
from sarbench.simulate.position import majority_side
from sarbench.simulate.qa import QA
from sarlens.prompts.applications import Application

PLURALS = {
    "ship": "ships",
    "aircraft": "aircraft",
    "car": "cars",
    "tank": "tanks",
    "bridge": "bridges",
    "harbor": "harbors",
}
LAND_USES = {
    "ship": "Shipping",
    "harbor": "Shipping",
    "aircraft": "Air transport",
    "tank": "Fuel storage",
    "car": "Parking",
    "bridge": "River crossing",
}
"""Land use that each category implies."""

MAX_COUNT = 20
"""Maximum answer to a counting question."""


def generate_questions(truth: GroundTruth, rng: np.random.Generator) -> list[QA]:
    """Return questions about one image with unambiguous answers, with about as many Yes as No."""
    questions = [
        *_identification(truth, rng),
        *_classification(truth),
        *_counting(truth, rng),
        *_referring(truth, rng),
        *_positioning(truth),
        *_boxed_others(truth),
    ]
    if truth.site is not None:
        questions += general_questions(truth.site, rng)
    return questions


def _identification(truth: GroundTruth, rng: np.random.Generator) -> Iterator[QA]:
    """Yield a question for each present category, and as many for absent ones (at least one)."""
    present = [category for category, count in truth.counts.items() if count]
    absent = [category for category, count in truth.counts.items() if not count]
    sampled = rng.permutation(absent)[: max(len(present), 1)] if absent else ()
    for category in (*present, *map(str, sampled)):
        article = "an" if category == "aircraft" else "a"
        question = (f"Are there any {PLURALS[category]} in the image?", f"Is there {article} {category} in the image?")
        answer = "Yes" if truth.counts[category] else "No"
        yield QA(Application.OBJECT_IDENTIFICATION, f"any {category}", question[int(rng.integers(2))], answer)


def _classification(truth: GroundTruth) -> Iterator[QA]:
    """Yield a question whose answer is the only category, or one at least twice as frequent as any other."""
    counts = sorted(((count, category) for category, count in truth.counts.items() if count), reverse=True)
    if not counts:
        return
    most, category = counts[0]
    if len(counts) == 1:
        yield QA(Application.OBJECT_CLASSIFICATION, "class", "What type of object is present in the image?", category)
    elif most >= 2 * counts[1][0]:
        question = "What is the most common object in the image?"
        yield QA(Application.OBJECT_CLASSIFICATION, "most common", question, category)


def _counting(truth: GroundTruth, rng: np.random.Generator) -> Iterator[QA]:
    """Yield a counting question for each present category, and sometimes for an absent one."""
    absent = [category for category, count in truth.counts.items() if not count]
    for category, count in truth.counts.items():
        if count > MAX_COUNT or (not count and rng.random() > 0.15 / len(absent)):
            continue
        phrase = ("located in", "there in", "in")[int(rng.integers(3))]
        question = f"How many {PLURALS[category]} are {phrase} the image?"
        yield QA(Application.INSTANCE_COUNTING, f"count {category}", question, str(count))


def _referring(truth: GroundTruth, rng: np.random.Generator) -> Iterator[QA]:
    """Yield region questions for up to two objects of each category that no other box overlaps."""
    for category in PLURALS:
        isolated = [
            labeled
            for labeled in truth.objects
            if labeled.category == category and not _is_crowded(labeled, truth.objects)
        ]
        for index in rng.permutation(len(isolated))[:2]:
            region = ", ".join(f"{float(value)}" for value in isolated[index].box)
            question = f"What is the object present in the area [{region}]?"
            yield QA(Application.REGION_REFERRING, "region", question, category)


def _is_crowded(labeled: LabeledBox, others: Iterable[LabeledBox]) -> bool:
    area = labeled.box.width * labeled.box.height
    return any(other is not labeled and labeled.box.intersection_area(other.box) > 0.2 * area for other in others)


def _positioning(truth: GroundTruth) -> Iterator[QA]:
    """Yield a position question for each category with an unambiguous side."""
    for category, plural in PLURALS.items():
        centers = [labeled.box.center for labeled in truth.objects if labeled.category == category]
        side = majority_side([(x / truth.width, y / truth.height) for x, y in centers])
        if side is None:
            continue
        question = (
            f"Where is the {category} positioned within the image?"
            if len(centers) == 1
            else f"Where are most {plural} positioned within the image?"
        )
        yield QA(Application.OBJECT_POSITIONING, f"where {category}", question, side)


def _boxed_others(truth: GroundTruth) -> Iterator[QA]:
    """Yield questions about arrangement and land use. Without a site, land use follows from the categories."""
    for category, plural in PLURALS.items():
        centers = [labeled.box.center for labeled in truth.objects if labeled.category == category]
        pattern = classify_arrangement([(x / truth.width, y / truth.height) for x, y in centers])
        if pattern is not None:
            yield QA(Application.OTHERS, "arranged", f"How are the {plural} arranged in the image?", pattern)
    land_uses = {LAND_USES[category] for category, count in truth.counts.items() if count}
    land_use = truth.site.land_use if truth.site is not None else land_uses.pop() if len(land_uses) == 1 else None
    if land_use is not None:
        yield QA(Application.OTHERS, "use", "What is this area most likely used for?", land_use, truth.site is None)
