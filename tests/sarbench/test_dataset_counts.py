"""Counts of a data set, and the published counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarbench.dataset.counts import PUBLISHED, PUBLISHED_OTHERS, PUBLISHED_SPLITS, count_dataset
from sarbench.dataset.sarlang import open_dataset
from sarlens.prompts.applications import Application
from support.sarlang_fixture import (
    write_released,
)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


def test_texts_and_images_are_counted_per_application_and_split(released: Path) -> None:
    """Each text counts once per split, and each image once per text type and split."""
    counts = count_dataset(open_dataset(str(released)))
    assert not counts.errors
    assert counts.texts[Application.INSTANCE_COUNTING, "train"] == 2
    assert counts.texts[Application.IMAGE_DESCRIPTION, "test"] == 4
    assert counts.others_subtypes["Shape", "test"] == 1
    assert counts.counts_by_split() == {"Captions": (2, 2, 4, 4), "Questions": (3, 3, 16, 16)}


def test_published_counts_are_consistent() -> None:
    """The published tables add up to the published totals."""
    assert sum(PUBLISHED.values()) == 1_126_277
    assert sum(PUBLISHED_OTHERS.values()) == PUBLISHED[Application.OTHERS]
    captions, questions = (PUBLISHED_SPLITS[text_type] for text_type in ("Captions", "Questions"))
    assert sum(captions[2:]) == PUBLISHED[Application.IMAGE_DESCRIPTION]
    assert sum(captions[2:]) + sum(questions[2:]) == 1_126_277
    assert sum(questions[:2]) == 118_331
