"""Configuration of a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sarbench.errors import TrainingError
from sarbench.train.config import CONFIG_FILE, LearningRateSchedule, TrainingConfig
from sarlens.prompts.applications import Application


def test_an_epoch_is_a_permutation() -> None:
    """Each epoch contains every chip once, even if a batch spans two epochs."""
    config = TrainingConfig(images=10, batch_size=4)
    chips = [chip for step in range(5) for chip in config.chip_indices(step)]
    assert sorted(chips[:10]) == sorted(chips[10:]) == list(range(10))
    assert chips[:10] != chips[10:]


def test_steps_are_reproducible() -> None:
    """Chips and random numbers of a step depend only on the seed and the step."""
    config = TrainingConfig(images=100)
    assert (
        config.chip_indices(7)
        == TrainingConfig(images=100).chip_indices(7)
        != TrainingConfig(images=100, seed=1).chip_indices(7)
    )
    assert (
        config.step_rng(7).integers(1 << 60)
        == config.step_rng(7).integers(1 << 60)
        != config.step_rng(8).integers(1 << 60)
    )


def test_the_learning_rate_warms_up_and_decays() -> None:
    """The learning rate reaches its peak after the warm-up and decays to nearly 0."""
    schedule = LearningRateSchedule(steps=1000, peak=1.0, warmup_ratio=0.1, decay_ratio=0.5)
    assert [schedule.learning_rate(step) for step in (0, 49, 99, 500)] == [0.01, 0.5, 1.0, 1.0]
    assert schedule.learning_rate(999) == pytest.approx(0.002)


def test_an_existing_training_is_not_overwritten(tmp_path: Path) -> None:
    """A directory with a training is rejected for a new one, and its configuration can be loaded."""
    config = TrainingConfig(steps=5, excluded_applications=(Application.OTHERS,))
    config.save(tmp_path)
    assert TrainingConfig.load(tmp_path) == config
    with pytest.raises(TrainingError, match="--resume"):
        TrainingConfig(steps=6).save(tmp_path)


def test_earlier_keys_are_read(tmp_path: Path) -> None:
    """A configuration with the earlier keys of its fields is loaded."""
    earlier = {"steps": 5, "batch": 2, "noted": 10, "asked": 20, "peak": 1e-3, "without": ["others"]}
    (tmp_path / CONFIG_FILE).write_text(json.dumps(earlier))
    assert TrainingConfig.load(tmp_path) == TrainingConfig(
        steps=5,
        batch_size=2,
        log_every=10,
        evaluate_every=20,
        peak_learning_rate=1e-3,
        excluded_applications=(Application.OTHERS,),
    )


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"excluded_applications": ["nonsense"]}', '{"steps": 1, "nonsense": 2}', "{"]
)
def test_a_directory_without_a_training_is_rejected(tmp_path: Path, content: str | None) -> None:
    """A directory without a readable configuration raises a TrainingError."""
    if content is not None:
        (tmp_path / CONFIG_FILE).write_text(content)
    with pytest.raises(TrainingError, match="no training"):
        TrainingConfig.load(tmp_path)
