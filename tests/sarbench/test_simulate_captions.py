"""Captions of simulated images."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sarbench.simulate.captions import CONCISE_WORDS, make_captions
from sarbench.simulate.chip import simulate_chip
from sarbench.simulate.ground_truth import Box, GroundTruth, LabeledBox

IMAGES = 1500


@pytest.fixture(scope="module")
def truths() -> list[GroundTruth]:
    """Ground truth of simulated images."""
    return [simulate_chip(11, index).truth for index in range(IMAGES)]


def _boxed(*centers: tuple[float, float], category: str = "ship") -> GroundTruth:
    objects = tuple(LabeledBox(category, Box(100 * x - 2, 100 * y - 2, 4, 4)) for x, y in centers)
    return GroundTruth("a.png", 100, 100, objects)


def test_captions_are_sentences_of_the_specified_length(truths: list[GroundTruth]) -> None:
    """Each caption is one sentence; concise ones have 9 to 13 words, complex ones at least 12."""
    for truth in truths:
        for described in (truth, replace(truth, site=None)):
            concise, complex_ = make_captions(described)
            assert len(concise.split()) in CONCISE_WORDS
            for caption in (concise, complex_):
                assert re.fullmatch(r"[A-Z][A-Za-z, ]+\.", caption)
                assert "  " not in caption
        assert len(make_captions(truth)[1].split()) > CONCISE_WORDS.start + 2
