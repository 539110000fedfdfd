"""Questions about the place that an image shows: its ground, its kind, its features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sarbench.simulate.qa import QA
from sarbench.simulate.truth import Feature, Place
from sarlens.prompts.applications import Application

GROUND = {
    "forest": "Are there any trees in the image?",
    "water": "Is there any water in the image?",
    "crop": "Is there any farmland in the image?",
}
"""Land cover that one can ask after, by its name in ``Place.cover``."""
LAND_COVERS = {"water": "Water", "forest": "Forest", "crop": "Agricultural field", "built": "Urban"}
"""Covers that a radar tells apart in one image, as answers."""

ENOUGH = 0.06
"""Share of the image from which land cover counts as there; less but more than none is not asked about."""
MOSTLY = 0.55
"""Share of the image from which land cover dominates."""


def general(place: Place, rng: np.random.Generator) -> Iterator[QA]:
    """What can be asked of the place: its ground, its kind, its features."""
    yield from _ground(place, rng)
    area = "What type of area is mostly visible?"
    yield QA(Application.OBJECT_CLASSIFICATION, "area", area, place.area, boxed=False)
    cover, share = max(place.cover.items(), key=lambda item: item[1])
    if share >= MOSTLY and cover in LAND_COVERS:
        question = "What is the dominant land cover in the image?"
        yield QA(Application.OTHERS, "land cover", question, LAND_COVERS[cover], boxed=False)
    if place.moving is not None:
        doing = "Moving" if place.moving else "Anchored"
        yield QA(Application.OTHERS, "doing", "What are the ships most likely doing?", doing, boxed=False)
    for feature in place.features:
        yield from _feature(feature)


def _feature(feature: Feature) -> Iterator[QA]:
    """Where it is, and its shape, direction and arrangement, as far as they are plain."""
    if feature.cell is not None:
        question = f"Where is the {feature.name} located?"
        yield QA(Application.OBJECT_POSITIONING, "location", question, feature.cell, boxed=False)
    looks = {"shape": feature.shape, "direction": feature.direction, "arrangement": feature.pattern}
    for look, answer in looks.items():
        if answer is not None:
            question = f"What is the {look} of the {feature.name}?"
            yield QA(Application.OTHERS, look, question, answer, boxed=False)


def _ground(place: Place, rng: np.random.Generator) -> Iterator[QA]:
    """Land cover, buildings and roads: what is plainly there, and as many that plainly are not."""
    known = {question: _there(place.cover[cover], ENOUGH) for cover, question in GROUND.items()}
    known["Are there any buildings in the image?"] = _there(place.buildings, 3)
    roads = any(feature.name == "road" for feature in place.features)
    known["Is there a road in the image?"] = True if roads else _there(place.cover["asphalt"], 1)
    there = [question for question, answer in known.items() if answer]
    absent = [question for question, answer in known.items() if answer is False]
    few = max(min(len(there), len(absent)), 1)
    for questions, answer in ((there, "Yes"), (absent, "No")):
        for question in rng.permutation(questions)[:few] if questions else ():
            yield QA(Application.OBJECT_IDENTIFICATION, str(question), str(question), answer, boxed=False)


def _there(amount: float, enough: float) -> bool | None:
    """Whether something is there; None where there is too little of it to say."""
    return amount >= enough or (None if amount else False)
