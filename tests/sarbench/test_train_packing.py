"""How conversations are worded and laid into rows."""

from __future__ import annotations

import numpy as np
import pytest

from sarbench.nano.tokenizer import build_tokenizer
from sarbench.simulate.qa import QA
from sarbench.train.chips import Known
from sarbench.train.packing import GRID, LENGTH, UNLEARNT, Packer, object_map
from sarbench.train.wording import conversations
from sarlens.prompts.applications import CATEGORIES, Application

PICTURE = np.zeros((256, 256), np.uint8)


def known(questions: int = 6) -> Known:
    """A picture with one ship and so many questions."""
    asked = tuple(
        QA(Application.INSTANCE_COUNTING, "count ship", "How many ships are there in the image?", str(number))
        for number in range(questions)
    )
    return Known(asked, ("A short caption.", "A caption that says more."), ((5, 16, 32, 48, 16),))


def test_rows_hold_as_much_as_fits() -> None:
    """Conversations fill rows without overlap, and what does not fit is left out and not counted."""
    packed = Packer(1).pack([(PICTURE, known(20))], np.random.default_rng(0))
    turns = packed.batch.turns[0, 0]
    assert 2 <= len(packed.places) < 22
    assert int(turns.max()) == len(packed.places)
    steps = np.diff(turns[turns > 0].numpy())
    assert set(steps) <= {0, 1}
    assert packed.batch.tokens.shape == (1, 1, LENGTH)


def test_only_answers_are_learnt() -> None:
    """Targets outside answers are void, those inside have weight."""
    batch = Packer(8).pack([(PICTURE, known())], None).batch
    learnt = batch.targets != UNLEARNT
    assert bool((batch.weights[learnt] > 0).all())
    assert bool((batch.weights[~learnt] == 0).all())
    assert int(learnt.sum()) == sum(
        len(build_tokenizer()(told.answer)["input_ids"]) + 1 for told in conversations(known(), None)
    )


def test_a_conversation_longer_than_a_row_is_left_out() -> None:
    """Text that no row holds does no harm."""
    long = QA(Application.OTHERS, "use", "word " * LENGTH, "Yes")
    packed = Packer(2).pack([(PICTURE, Known((long,), ("a", "b"), ()))], None)
    assert [place[-1] for place in packed.places] == [Application.IMAGE_DESCRIPTION] * 2


@pytest.mark.parametrize("seed", range(4))
def test_words_vary_but_not_answers(seed: int) -> None:
    """A question may be put in other words; its answer and application stay."""
    told = conversations(known(), np.random.default_rng(seed))
    plain = conversations(known(), None)
    assert [(one.answer, one.application) for one in told] == [(one.answer, one.application) for one in plain]
    assert all("{" not in one.asked for one in told)
    assert any(one.asked != other.asked for one, other in zip(told, plain, strict=True))


def test_the_map_marks_middles_and_reaches() -> None:
    """A ship three patches long marks three patches as reached and the one at its middle."""
    marks = object_map(known()).reshape(2, len(CATEGORIES), GRID, GRID)
    ship = CATEGORIES.index("ship")
    assert np.argwhere(marks[0]).tolist() == [[ship, 2, 2]]
    assert np.argwhere(marks[1]).tolist() == [[ship, 2, 1], [ship, 2, 2], [ship, 2, 3]]
