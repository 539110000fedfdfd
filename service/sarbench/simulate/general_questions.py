"""General questions about the site of an image: land cover, area type, and features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sarbench.simulate.ground_truth import Feature, SiteDescription
from sarbench.simulate.qa import QA
from sarlens.prompts.applications import Application

LAND_COVER_QUESTIONS = {
    "forest": "Are there any trees in the image?",
    "water": "Is there any water in the image?",
    "crop": "Is there any farmland in the image?",
}
"""Presence questions, by the land cover's name in ``SiteDescription.land_cover``."""
LAND_COVER_ANSWERS = {"water": "Water", "forest": "Forest", "crop": "Agricultural field", "built": "Urban"}
"""Land covers that SAR can distinguish in one image, with the answer for each."""

PRESENT_FRACTION = 0.06
"""Minimum image fraction of a present land cover. Smaller nonzero fractions get no question."""
DOMINANT_FRACTION = 0.55
"""Minimum image fraction of a dominant land cover."""


def general_questions(site: SiteDescription, rng: np.random.Generator) -> Iterator[QA]:
    """Yield questions about the site: land cover, area type, and features."""
    yield from _presence_questions(site, rng)
    area = "What type of area is mostly visible?"
    yield QA(Application.OBJECT_CLASSIFICATION, "area", area, site.area, boxed=False)
    cover, fraction = max(site.land_cover.items(), key=lambda item: item[1])
    if fraction >= DOMINANT_FRACTION and cover in LAND_COVER_ANSWERS:
        question = "What is the dominant land cover in the image?"
        yield QA(Application.OTHERS, "land cover", question, LAND_COVER_ANSWERS[cover], boxed=False)
    if site.ships_moving is not None:
        activity = "Moving" if site.ships_moving else "Anchored"
        yield QA(Application.OTHERS, "doing", "What are the ships most likely doing?", activity, boxed=False)
    for feature in site.features:
        yield from _feature_questions(feature)


def _feature_questions(feature: Feature) -> Iterator[QA]:
    """Yield questions about the position, shape, direction, and arrangement of a feature, if unambiguous."""
    if feature.cell is not None:
        question = f"Where is the {feature.name} located?"
        yield QA(Application.OBJECT_POSITIONING, "location", question, feature.cell, boxed=False)
    attributes = {"shape": feature.shape, "direction": feature.direction, "arrangement": feature.pattern}
    for attribute, answer in attributes.items():
        if answer is not None:
            question = f"What is the {attribute} of the {feature.name}?"
            yield QA(Application.OTHERS, attribute, question, answer, boxed=False)


def _presence_questions(site: SiteDescription, rng: np.random.Generator) -> Iterator[QA]:
    """Yield presence questions on land cover, buildings, and roads, with equal numbers of Yes and No if possible."""
    presence = {
        question: _is_present(site.land_cover[cover], PRESENT_FRACTION)
        for cover, question in LAND_COVER_QUESTIONS.items()
    }
    presence["Are there any buildings in the image?"] = _is_present(site.building_count, 3)
    roads = any(feature.name == "road" for feature in site.features)
    presence["Is there a road in the image?"] = True if roads else _is_present(site.land_cover["asphalt"], 1)
    present = [question for question, answer in presence.items() if answer]
    absent = [question for question, answer in presence.items() if answer is False]
    limit = max(min(len(present), len(absent)), 1)
    for questions, answer in ((present, "Yes"), (absent, "No")):
        for question in rng.permutation(questions)[:limit] if questions else ():
            yield QA(Application.OBJECT_IDENTIFICATION, str(question), str(question), answer, boxed=False)


def _is_present(amount: float, threshold: float) -> bool | None:
    """Whether a land cover is present, or None if its amount is too small to say."""
    return amount >= threshold or (None if amount else False)
