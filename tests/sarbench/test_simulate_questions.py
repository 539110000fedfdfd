"""Questions of simulated images: true, balanced, and of the right application."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from sarbench.simulate.captions import make_captions
from sarbench.simulate.chip import chip_rng, simulate_chip
from sarbench.simulate.ground_truth import Box, GroundTruth, LabeledBox, SiteDescription
from sarbench.simulate.layouts import SITE_TYPES
from sarbench.simulate.qa import QA, AnswerBalancer
from sarbench.simulate.questions import PLURALS, generate_questions
from sarlens.prompts.applications import CATEGORIES, POSITIONS, Application
from sarlens.prompts.classify import OTHERS_SUBTYPES, classify, others_subtype

IMAGES = 1500


CELLS = {f"{row} {column}" for row in ("top", "bottom") for column in ("left", "right")} | set(POSITIONS)


@pytest.fixture(scope="module")
def truths() -> list[GroundTruth]:
    """Ground truth of simulated images."""
    return [simulate_chip(11, index).truth for index in range(IMAGES)]


@pytest.fixture(scope="module")
def questions(truths: list[GroundTruth]) -> list[tuple[GroundTruth, QA]]:
    """Balanced questions of the images."""
    balance = AnswerBalancer()
    return [
        (truth, qa)
        for index, truth in enumerate(truths)
        for qa in balance.select(generate_questions(truth, chip_rng(11, index, "train", 1)))
    ]


def test_applications_are_derived_from_the_wording(questions: list[tuple[GroundTruth, QA]]) -> None:
    """The application derived from the wording is the generated one, and all applications occur."""
    for _, qa in questions:
        assert classify(qa.question) is qa.application
        assert classify(qa.question_with_classes) is qa.application
    assert {qa.application for _, qa in questions} == set(Application) - {Application.IMAGE_DESCRIPTION}
    assert {others_subtype(qa.question) for _, qa in questions if qa.application is Application.OTHERS} == set(
        OTHERS_SUBTYPES
    )


def test_answers_have_the_papers_forms(questions: list[tuple[GroundTruth, QA]]) -> None:
    """Answers are Yes or No, an integer, a category, a position, or a short phrase."""
    forms = {
        Application.OBJECT_IDENTIFICATION: {"Yes", "No"},
        Application.INSTANCE_COUNTING: {str(number) for number in range(21)},
        Application.REGION_REFERRING: set(CATEGORIES),
    }
    areas = {site_type.area for site_type in SITE_TYPES} | {site_type.area_without_marker for site_type in SITE_TYPES}
    for _, qa in questions:
        if qa.application in forms:
            assert qa.answer in forms[qa.application]
        elif qa.application is Application.OBJECT_CLASSIFICATION:
            assert qa.answer in (CATEGORIES if qa.boxed else areas)
        elif qa.application is Application.OBJECT_POSITIONING:
            assert qa.answer in (POSITIONS if qa.boxed else CELLS)
        else:
            assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+){0,3}", qa.answer)


def test_answers_are_true(questions: list[tuple[GroundTruth, QA]]) -> None:
    """Counts, presence, and regions agree with the boxes."""
    names = {plural: category for category, plural in PLURALS.items()} | {name: name for name in CATEGORIES}
    for truth, qa in questions:
        boxes = [(labeled.category, tuple(labeled.box)) for labeled in truth.objects]
        if qa.application is Application.REGION_REFERRING:
            region = re.search(r"\[(.+)\]", qa.question)
            assert region
            assert (qa.answer, tuple(float(number) for number in region[1].split(", "))) in boxes
        elif counted := re.match(r"How many (\w+)", qa.question):
            assert int(qa.answer) == truth.counts[names[counted[1]]]
        elif qa.boxed and (presence := re.match(r"(?:Are there any|Is there an?) (\w+)", qa.question)):
            assert (qa.answer == "Yes") == (truth.counts[names[presence[1]]] > 0)


def test_answers_are_balanced_within_each_topic(questions: list[tuple[GroundTruth, QA]]) -> None:
    """No answer exceeds its maximum fraction of a topic."""
    topics: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, qa in questions:
        topics[qa.topic][qa.answer] += 1
    for counts in topics.values():
        even = 0.5 if "Yes" in counts else min(1.4 / len(counts), 0.5)
        assert max(counts.values()) <= even * counts.total() + 5


def test_guessing_from_the_question_is_below_45_percent(questions: list[tuple[GroundTruth, QA]]) -> None:
    """The most frequent answer per wording and box size, learned on half of the images, is correct in under 45 %."""
    best: defaultdict[object, Counter[str]] = defaultdict(Counter)
    half = len(questions) // 2
    for _, qa in questions[:half]:
        best[_wording(qa)][qa.answer] += 1
    right = sum(
        best[_wording(qa)].most_common(1)[:1] == [(qa.answer, best[_wording(qa)][qa.answer])]
        for _, qa in questions[half:]
    )
    assert right / (len(questions) - half) < 0.45


def _wording(qa: QA) -> object:
    if region := re.search(r"\[(.+)\]", qa.question):
        _, _, width, height = (float(number) for number in region[1].split(", "))
        return round(2 * np.log2(width)), round(2 * np.log2(height))
    return qa.question


@pytest.mark.parametrize("category", ["ship", "aircraft", "car", "tank"])
def test_counts_run_to_ten(truths: list[GroundTruth], category: str) -> None:
    """Each count from 1 to 10 occurs."""
    assert set(range(1, 11)) <= {truth.counts[category] for truth in truths}


def _boxed(*centers: tuple[float, float], category: str = "ship") -> GroundTruth:
    objects = tuple(LabeledBox(category, Box(100 * x - 2, 100 * y - 2, 4, 4)) for x, y in centers)
    return GroundTruth("a.png", 100, 100, objects)


def test_boxes_alone_give_questions_of_all_applications() -> None:
    """Without a site description, boxes give questions of all applications and captions."""
    truth = _boxed((0.1, 0.4), (0.12, 0.48), (0.15, 0.52), (0.1, 0.6))
    answers = {qa.question: qa.answer for qa in generate_questions(truth, np.random.default_rng(0))}
    assert answers["What type of object is present in the image?"] == "ship"
    assert answers["Where are most ships positioned within the image?"] == "left"
    assert answers["What is this area most likely used for?"] == "Shipping"
    assert {classify(question) for question in answers} == set(Application) - {Application.IMAGE_DESCRIPTION}
    concise, complex_ = make_captions(truth)
    assert concise == "Four ships are visible mostly at the left in this radar image."
    assert complex_.startswith("The radar image shows four ships mostly at the left")


def test_an_empty_image_has_questions_and_a_caption() -> None:
    """Without boxes, the answers are No and 0, and there is a caption."""
    truth = GroundTruth("a.png", 64, 64, ())
    answers = {qa.answer for seed in range(20) for qa in generate_questions(truth, np.random.default_rng(seed))}
    assert answers == {"No", "0"}
    assert make_captions(truth)[0] == "No objects are visible within the area of this radar image."


def test_ambiguous_questions_are_left_out() -> None:
    """Objects between two sides, overlapping boxes, and sparse trees give no questions."""
    between = generate_questions(_boxed((0.15, 0.15)), np.random.default_rng(0))
    assert not [qa for qa in between if qa.application is Application.OBJECT_POSITIONING]
    crowded = generate_questions(_boxed((0.5, 0.5), (0.51, 0.5)), np.random.default_rng(0))
    assert not [qa for qa in crowded if qa.application is Application.REGION_REFERRING]
    site = SiteDescription("Sea", None, {"forest": 0.02, "water": 0.98, "crop": 0.0, "asphalt": 0.0})
    general = generate_questions(replace(_boxed(), site=site), np.random.default_rng(0))
    assert not [qa for qa in general if "trees" in qa.question]
