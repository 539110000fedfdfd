"""Paraphrases of training prompts."""

from __future__ import annotations

import numpy as np
import pytest

from sarbench.simulate.qa import QA
from sarbench.train.paraphrases import make_conversations
from sarbench.train.shards import ChipLabels
from sarlens.prompts.applications import Application


def chip_labels(questions: int = 6) -> ChipLabels:
    """Return the labels of an image with one ship and some questions."""
    qas = tuple(
        QA(Application.INSTANCE_COUNTING, "count ship", "How many ships are there in the image?", str(number))
        for number in range(questions)
    )
    return ChipLabels(qas, ("A short caption.", "A caption that says more."), ((5, 16, 32, 48, 16),))


@pytest.mark.parametrize("seed", range(4))
def test_paraphrases_keep_answers_and_applications(seed: int) -> None:
    """Paraphrasing changes prompts, but no answers and applications."""
    paraphrased = make_conversations(chip_labels(), np.random.default_rng(seed))
    plain = make_conversations(chip_labels(), None)
    assert [(one.answer, one.application) for one in paraphrased] == [(one.answer, one.application) for one in plain]
    assert all("{" not in one.prompt for one in paraphrased)
    assert any(one.prompt != other.prompt for one, other in zip(paraphrased, plain, strict=True))
