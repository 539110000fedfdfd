"""Questions and answers from what is known of an image, in the wording and answer forms of SARLANG-1M."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sarbench.simulate.arrangement import arrangement
from sarbench.simulate.general import general
from sarbench.simulate.position import most_at
from sarbench.simulate.qa import QA
from sarbench.simulate.truth import Seen, Truth
from sarlens.prompts.applications import Application

PLURALS = {
    "ship": "ships",
    "aircraft": "aircraft",
    "car": "cars",
    "tank": "tanks",
    "bridge": "bridges",
    "harbor": "harbors",
}
USES = {
    "ship": "Shipping",
    "harbor": "Shipping",
    "aircraft": "Air transport",
    "tank": "Fuel storage",
    "car": "Parking",
    "bridge": "River crossing",
}
"""What a place is used for where all its objects point to the same."""

MOST_COUNTED = 20
"""Objects of one category beyond which counts are not asked."""


def ask(truth: Truth, rng: np.random.Generator) -> list[QA]:
    """Questions about one image that its picture answers beyond doubt, about as many Yes as No among them."""
    asked = [
        *_identification(truth, rng),
        *_classification(truth),
        *_counting(truth, rng),
        *_referring(truth, rng),
        *_positioning(truth),
        *_boxed_others(truth),
    ]
    if truth.place is not None:
        asked += general(truth.place, rng)
    return asked


def _identification(truth: Truth, rng: np.random.Generator) -> Iterator[QA]:
    """Every category that is there, and as many that are not (one if none is)."""
    there = [category for category, count in truth.counts.items() if count]
    absent = [category for category, count in truth.counts.items() if not count]
    some = rng.permutation(absent)[: max(len(there), 1)] if absent else ()
    for category in (*there, *map(str, some)):
        article = "an" if category == "aircraft" else "a"
        question = (f"Are there any {PLURALS[category]} in the image?", f"Is there {article} {category} in the image?")
        answer = "Yes" if truth.counts[category] else "No"
        yield QA(Application.OBJECT_IDENTIFICATION, f"any {category}", question[int(rng.integers(2))], answer)


def _classification(truth: Truth) -> Iterator[QA]:
    """The category that is there alone, or twice as often as any other."""
    counts = sorted(((count, category) for category, count in truth.counts.items() if count), reverse=True)
    if not counts:
        return
    most, category = counts[0]
    if len(counts) == 1:
        yield QA(Application.OBJECT_CLASSIFICATION, "class", "What type of object is present in the image?", category)
    elif most >= 2 * counts[1][0]:
        question = "What is the most common object in the image?"
        yield QA(Application.OBJECT_CLASSIFICATION, "most common", question, category)


def _counting(truth: Truth, rng: np.random.Generator) -> Iterator[QA]:
    """How many there are of each category that is there, now and then of one that is not."""
    absent = [category for category, count in truth.counts.items() if not count]
    for category, count in truth.counts.items():
        if count > MOST_COUNTED or (not count and rng.random() > 0.15 / len(absent)):
            continue
        where = ("located in", "there in", "in")[int(rng.integers(3))]
        question = f"How many {PLURALS[category]} are {where} the image?"
        yield QA(Application.INSTANCE_COUNTING, f"count {category}", question, str(count))


def _referring(truth: Truth, rng: np.random.Generator) -> Iterator[QA]:
    """What one or two objects of each category are, given their boxes, unless another box reaches into them."""
    for category in PLURALS:
        alone = [seen for seen in truth.objects if seen.category == category and not _crowded(seen, truth.objects)]
        for number in rng.permutation(len(alone))[:2]:
            region = ", ".join(f"{float(value)}" for value in alone[number].box)
            question = f"What is the object present in the area [{region}]?"
            yield QA(Application.REGION_REFERRING, "region", question, category)


def _crowded(seen: Seen, others: Iterable[Seen]) -> bool:
    area = seen.box.width * seen.box.height
    return any(other is not seen and seen.box.overlap(other.box) > 0.2 * area for other in others)


def _positioning(truth: Truth) -> Iterator[QA]:
    """At which side the objects of each category are, where that is plain."""
    for category, plural in PLURALS.items():
        middles = [seen.box.middle for seen in truth.objects if seen.category == category]
        side = most_at([(x / truth.width, y / truth.height) for x, y in middles])
        if side is None:
            continue
        question = (
            f"Where is the {category} positioned within the image?"
            if len(middles) == 1
            else f"Where are most {plural} positioned within the image?"
        )
        yield QA(Application.OBJECT_POSITIONING, f"where {category}", question, side)


def _boxed_others(truth: Truth) -> Iterator[QA]:
    """How objects are arranged and, where there is no better knowledge, what they say about the use of the place."""
    for category, plural in PLURALS.items():
        middles = [seen.box.middle for seen in truth.objects if seen.category == category]
        pattern = arrangement([(x / truth.width, y / truth.height) for x, y in middles])
        if pattern is not None:
            yield QA(Application.OTHERS, "arranged", f"How are the {plural} arranged in the image?", pattern)
    uses = {USES[category] for category, count in truth.counts.items() if count}
    use = truth.place.use if truth.place is not None else uses.pop() if len(uses) == 1 else None
    if use is not None:
        yield QA(Application.OTHERS, "use", "What is this area most likely used for?", use, truth.place is None)
