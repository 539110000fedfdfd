"""What a training is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarbench.errors import TrainingError
from sarbench.train.plan import FILE, Plan, Schedule
from sarlens.prompts.applications import Application


def test_every_chip_comes_once_before_any_comes_again() -> None:
    """An epoch is a permutation, even where a batch spans two epochs."""
    plan = Plan(images=10, batch=4)
    drawn = [chip for step in range(5) for chip in plan.drawn(step)]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]


def test_a_step_draws_the_same_whenever_it_is_taken() -> None:
    """What a step sees depends on its number and the seed alone, so a resumed training goes on as it would have."""
    plan = Plan(images=100)
    assert plan.drawn(7) == Plan(images=100).drawn(7) != Plan(images=100, seed=1).drawn(7)
    assert plan.random(7).integers(1 << 60) == plan.random(7).integers(1 << 60) != plan.random(8).integers(1 << 60)


def test_the_rate_rises_stays_and_falls() -> None:
    """The learning rate is at its peak after the warm-up and nearly nothing at the end."""
    schedule = Schedule(steps=1000, peak=1.0, rise=0.1, fall=0.5)
    assert [schedule.rate(step) for step in (0, 49, 99, 500)] == [0.01, 0.5, 1.0, 1.0]
    assert schedule.rate(999) == pytest.approx(0.002)


def test_a_training_is_not_begun_twice(tmp_path: Path) -> None:
    """A folder that holds a training is neither overwritten nor mixed with another."""
    plan = Plan(steps=5, without=(Application.OTHERS,))
    plan.keep(tmp_path)
    assert Plan.kept(tmp_path) == plan
    with pytest.raises(TrainingError, match="--resume"):
        Plan(steps=6).keep(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"without": ["nonsense"]}', '{"steps": 1, "nonsense": 2}', "{"])
def test_nothing_to_resume_is_said(tmp_path: Path, content: str | None) -> None:
    """A folder without a readable plan is refused in a sentence."""
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(TrainingError, match="no training"):
        Plan.kept(tmp_path)
