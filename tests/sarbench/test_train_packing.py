"""Packing of conversations into rows."""

from __future__ import annotations

import numpy as np

from sarbench.nano.tokenizer import build_tokenizer
from sarbench.simulate.qa import QA
from sarbench.train.packing import IGNORE_INDEX, PATCHES_PER_SIDE, ROW_TOKENS, Packer, object_map
from sarbench.train.paraphrases import make_conversations
from sarbench.train.shards import ChipLabels
from sarlens.prompts.applications import CATEGORIES, Application

IMAGE = np.zeros((256, 256), np.uint8)


def chip_labels(questions: int = 6) -> ChipLabels:
    """Return the labels of an image with one ship and some questions."""
    qas = tuple(
        QA(Application.INSTANCE_COUNTING, "count ship", "How many ships are there in the image?", str(number))
        for number in range(questions)
    )
    return ChipLabels(qas, ("A short caption.", "A caption that says more."), ((5, 16, 32, 48, 16),))


def test_rows_are_filled_without_overlap() -> None:
    """Conversations fill rows without overlap, and those that don't fit are dropped."""
    packed = Packer(1).pack([(IMAGE, chip_labels(20))], np.random.default_rng(0))
    segment_ids = packed.batch.segment_ids[0, 0]
    assert 2 <= len(packed.segments) < 22
    assert int(segment_ids.max()) == len(packed.segments)
    steps = np.diff(segment_ids[segment_ids > 0].numpy())
    assert set(steps) <= {0, 1}
    assert packed.batch.tokens.shape == (1, 1, ROW_TOKENS)


def test_only_answer_tokens_are_trained() -> None:
    """Only answer tokens have targets and weights."""
    batch = Packer(8).pack([(IMAGE, chip_labels())], None).batch
    learnt = batch.targets != IGNORE_INDEX
    assert bool((batch.weights[learnt] > 0).all())
    assert bool((batch.weights[~learnt] == 0).all())
    assert int(learnt.sum()) == sum(
        len(build_tokenizer()(conversation.answer)["input_ids"]) + 1
        for conversation in make_conversations(chip_labels(), None)
    )


def test_conversations_longer_than_a_row_are_dropped() -> None:
    """A conversation longer than a row is dropped, and the others are packed."""
    long = QA(Application.OTHERS, "use", "word " * ROW_TOKENS, "Yes")
    packed = Packer(2).pack([(IMAGE, ChipLabels((long,), ("a", "b"), ()))], None)
    assert [segment[-1] for segment in packed.segments] == [Application.IMAGE_DESCRIPTION] * 2


def test_object_maps_mark_centers_and_boxes() -> None:
    """A ship that covers three patches marks all three, and its center patch separately."""
    marks = object_map(chip_labels()).reshape(2, len(CATEGORIES), PATCHES_PER_SIDE, PATCHES_PER_SIDE)
    ship = CATEGORIES.index("ship")
    assert np.argwhere(marks[0]).tolist() == [[ship, 2, 2]]
    assert np.argwhere(marks[1]).tolist() == [[ship, 2, 1], [ship, 2, 2], [ship, 2, 3]]
