"""Questions and captions: true, well formed, of the right application, and not to be guessed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from sarbench.simulate.arrangement import arrangement
from sarbench.simulate.captions import CONCISE, captions
from sarbench.simulate.chip import generator, simulate_chip
from sarbench.simulate.layouts import KINDS
from sarbench.simulate.position import cell_of, most_at, side_of
from sarbench.simulate.qa import QA, Balance
from sarbench.simulate.questions import PLURALS, ask
from sarbench.simulate.truth import Box, Place, Seen, Truth
from sarlens.prompts.applications import CATEGORIES, CATEGORIES_PREFIX, POSITIONS, POSITIONS_PREFIX, Application
from sarlens.prompts.classify import OTHER_KINDS, classify, other_kind

IMAGES = 1500
CELLS = {f"{row} {column}" for row in ("top", "bottom") for column in ("left", "right")} | set(POSITIONS)


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    """What is known of some simulated images."""
    return [simulate_chip(11, index).truth for index in range(IMAGES)]


@pytest.fixture(scope="module")
def asked(truths: list[Truth]) -> list[tuple[Truth, QA]]:
    """Their questions, balanced."""
    balance = Balance()
    return [
        (truth, qa)
        for index, truth in enumerate(truths)
        for qa in balance.take(ask(truth, generator(11, index, "train", 1)))
    ]


def test_every_question_is_told_for_its_application(asked: list[tuple[Truth, QA]]) -> None:
    """The rules that derive an application from the released wording agree, and all applications have questions."""
    for _, qa in asked:
        assert classify(qa.question) is qa.application
        assert classify(qa.prompted) is qa.application
    assert {qa.application for _, qa in asked} == set(Application) - {Application.IMAGE_DESCRIPTION}
    assert {other_kind(qa.question) for _, qa in asked if qa.application is Application.OTHERS} == set(OTHER_KINDS)


def test_answers_have_the_forms_of_the_paper(asked: list[tuple[Truth, QA]]) -> None:
    """Yes or No, an integer, a category, one of five positions, or for general questions a place or a phrase."""
    forms = {
        Application.OBJECT_IDENTIFICATION: {"Yes", "No"},
        Application.INSTANCE_COUNTING: {str(number) for number in range(21)},
        Application.REGION_REFERRING: set(CATEGORIES),
    }
    areas = {kind.area for kind in KINDS} | {kind.otherwise for kind in KINDS}
    for _, qa in asked:
        if qa.application in forms:
            assert qa.answer in forms[qa.application]
        elif qa.application is Application.OBJECT_CLASSIFICATION:
            assert qa.answer in (CATEGORIES if qa.boxed else areas)
        elif qa.application is Application.OBJECT_POSITIONING:
            assert qa.answer in (POSITIONS if qa.boxed else CELLS)
        else:
            assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+){0,3}", qa.answer)


def test_answers_are_true(asked: list[tuple[Truth, QA]]) -> None:
    """Counts, presence and regions agree with the boxes, read back from the wording of the question."""
    names = {plural: category for category, plural in PLURALS.items()} | {name: name for name in CATEGORIES}
    for truth, qa in asked:
        boxes = [(seen.category, tuple(seen.box)) for seen in truth.objects]
        if qa.application is Application.REGION_REFERRING:
            region = re.search(r"\[(.+)\]", qa.question)
            assert region
            assert (qa.answer, tuple(float(number) for number in region[1].split(", "))) in boxes
        elif counted := re.match(r"How many (\w+)", qa.question):
            assert int(qa.answer) == truth.counts[names[counted[1]]]
        elif qa.boxed and (found := re.match(r"(?:Are there any|Is there an?) (\w+)", qa.question)):
            assert (qa.answer == "Yes") == (truth.counts[names[found[1]]] > 0)


def test_no_answer_can_be_guessed_from_its_topic(asked: list[tuple[Truth, QA]]) -> None:
    """Yes and No come equally often, and no other answer makes up more than its share of a topic by half."""
    topics: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, qa in asked:
        topics[qa.topic][qa.answer] += 1
    for counts in topics.values():
        even = 0.5 if "Yes" in counts else min(1.4 / len(counts), 0.5)
        assert max(counts.values()) <= even * counts.total() + 5


def test_a_guess_from_the_question_alone_scores_little(asked: list[tuple[Truth, QA]]) -> None:
    """The best answer per wording, box sizes included, learnt on half of the images, is right for under 45 %."""
    best: defaultdict[object, Counter[str]] = defaultdict(Counter)
    half = len(asked) // 2
    for _, qa in asked[:half]:
        best[_wording(qa)][qa.answer] += 1
    right = sum(
        best[_wording(qa)].most_common(1)[:1] == [(qa.answer, best[_wording(qa)][qa.answer])] for _, qa in asked[half:]
    )
    assert right / (len(asked) - half) < 0.45


def _wording(qa: QA) -> object:
    if region := re.search(r"\[(.+)\]", qa.question):
        _, _, width, height = (float(number) for number in region[1].split(", "))
        return round(2 * np.log2(width)), round(2 * np.log2(height))
    return qa.question


@pytest.mark.parametrize("category", ["ship", "aircraft", "car", "tank"])
def test_counts_run_to_ten(truths: list[Truth], category: str) -> None:
    """Images have each number of objects from one to ten."""
    assert set(range(1, 11)) <= {truth.counts[category] for truth in truths}


def test_classes_stand_before_questions_that_choose_from_them() -> None:
    """Boxed questions for a class or a position carry SARDet's list of them; others and general ones do not."""
    lists = {
        Application.REGION_REFERRING: f"{CATEGORIES_PREFIX} q?",
        Application.OBJECT_CLASSIFICATION: f"{CATEGORIES_PREFIX} q?",
        Application.OBJECT_POSITIONING: f"{POSITIONS_PREFIX} q?",
    }
    for application in Application:
        assert QA(application, "", "q?", "").prompted == lists.get(application, "q?")
        assert QA(application, "", "q?", "", boxed=False).prompted == "q?"


def _boxed(*middles: tuple[float, float], category: str = "ship") -> Truth:
    objects = tuple(Seen(category, Box(100 * x - 2, 100 * y - 2, 4, 4)) for x, y in middles)
    return Truth("a.png", 100, 100, objects)


def test_boxes_alone_give_all_applications() -> None:
    """An annotation without any knowledge of the place is asked about in every way, and captioned."""
    truth = _boxed((0.1, 0.4), (0.12, 0.48), (0.15, 0.52), (0.1, 0.6))
    questions = {qa.question: qa.answer for qa in ask(truth, np.random.default_rng(0))}
    assert questions["What type of object is present in the image?"] == "ship"
    assert questions["Where are most ships positioned within the image?"] == "left"
    assert questions["What is this area most likely used for?"] == "Shipping"
    assert {classify(question) for question in questions} == set(Application) - {Application.IMAGE_DESCRIPTION}
    concise, complex_ = captions(truth)
    assert concise == "Four ships are visible mostly at the left in this radar image."
    assert complex_.startswith("The radar image shows four ships mostly at the left")


def test_an_empty_image_is_still_asked_about() -> None:
    """Where nothing is boxed the answers are No and 0, and there is a caption."""
    truth = Truth("a.png", 64, 64, ())
    answers = {qa.answer for seed in range(20) for qa in ask(truth, np.random.default_rng(seed))}
    assert answers == {"No", "0"}
    assert captions(truth)[0] == "No objects are visible within the area of this radar image."


def test_what_is_ambiguous_is_not_asked() -> None:
    """Neither an object between two sides, nor one whose box another reaches into, nor a sprinkling of trees."""
    between = ask(_boxed((0.15, 0.15)), np.random.default_rng(0))
    assert not [qa for qa in between if qa.application is Application.OBJECT_POSITIONING]
    crowded = ask(_boxed((0.5, 0.5), (0.51, 0.5)), np.random.default_rng(0))
    assert not [qa for qa in crowded if qa.application is Application.REGION_REFERRING]
    place = Place("Sea", None, {"forest": 0.02, "water": 0.98, "crop": 0.0, "asphalt": 0.0})
    general = ask(replace(_boxed(), place=place), np.random.default_rng(0))
    assert not [qa for qa in general if "trees" in qa.question]


def test_captions_are_sentences_of_the_right_length(truths: list[Truth]) -> None:
    """Concise captions have 9 to 13 words, complex ones more than that or as many, and each is one sentence."""
    for truth in truths:
        for known in (truth, replace(truth, place=None)):
            concise, complex_ = captions(known)
            assert len(concise.split()) in CONCISE
            for caption in (concise, complex_):
                assert re.fullmatch(r"[A-Z][A-Za-z, ]+\.", caption)
                assert "  " not in caption
        assert len(captions(truth)[1].split()) > CONCISE.start + 2


@pytest.mark.parametrize(
    ("x", "y", "side", "cell"),
    [
        (0.5, 0.5, "center", "center"),
        (0.1, 0.5, "left", "left"),
        (0.9, 0.45, "right", "right"),
        (0.5, 0.05, "top", "top"),
        (0.55, 0.95, "bottom", "bottom"),
        (0.1, 0.1, None, "top left"),
        (0.9, 0.88, None, "bottom right"),
        (0.33, 0.5, None, None),
    ],
)
def test_places_are_named_only_where_they_are_plain(x: float, y: float, side: str | None, cell: str | None) -> None:
    """A corner has no single side, a border between cells has no name at all."""
    assert side_of(x, y) == side
    assert cell_of(x, y) == cell


def test_most_is_said_of_a_clear_majority() -> None:
    """Two at the left and one at the right are mostly nowhere; three at the left and one at the top are at the left."""
    assert most_at([(0.1, 0.5), (0.1, 0.55), (0.9, 0.5)]) is None
    assert most_at([(0.1, 0.5), (0.1, 0.55), (0.1, 0.45), (0.5, 0.1)]) == "left"
    assert most_at([]) is None


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(0.1, 0.1), (0.3, 0.3), (0.5, 0.5), (0.7, 0.7)], "In a row"),
        ([(0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)], "Scattered"),
        ([(0.1, 0.1), (0.2, 0.1), (0.1, 0.2), (0.2, 0.2)], "Clustered"),
        ([(0.1, 0.1), (0.9, 0.9), (0.5, 0.2)], None),
    ],
)
def test_arrangements_have_names(points: list[tuple[float, float]], said: str | None) -> None:
    """Rows, clusters and scatters are told apart; three objects are no arrangement."""
    assert arrangement(points) == said
