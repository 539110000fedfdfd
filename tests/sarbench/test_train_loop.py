"""Training sessions: resuming and learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sarbench.train.config import TrainingConfig
from sarbench.train.loop import TrainingSession
from sarbench.train.metrics_log import CURVES_FILE, read_metrics
from sarbench.train.shards import ShardedChips, make_shards
from sarbench.train.training_state import CHECKPOINT_DIR, TrainingState

CONFIG = TrainingConfig(steps=3, images=4, held_out_images=2, batch_size=2, rows_per_image=1, peak_learning_rate=1e-3)


CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A shard of four chips."""
    return make_shards(tmp_path_factory.mktemp("chips"), "train", 4, seed=0, jobs=1)


def training_session(shards: list[Path], out: Path, config: TrainingConfig = CONFIG) -> TrainingSession:
    """Return a session that trains and evaluates on the same chips."""
    out.mkdir(exist_ok=True)
    return TrainingSession(config, ShardedChips(shards), ShardedChips(shards), out, CPU)


def weights(state: TrainingState) -> torch.Tensor:
    """Return all weights as one vector."""
    return torch.cat([weight.detach().flatten() for weight in state.forward.model.parameters()])


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(shards: list[Path], tmp_path: Path) -> None:
    """A training interrupted after step 2 ends with bit-identical weights after it is resumed."""

    def interrupt(metrics: dict[str, object]) -> None:
        if metrics["step"] == 2:
            raise KeyboardInterrupt

    config = replace(CONFIG, log_every=1, evaluate_every=1)
    uninterrupted = training_session(shards, tmp_path / "through", config).train()
    interrupted = training_session(shards, tmp_path / "cut", config)
    with pytest.raises(KeyboardInterrupt):
        interrupted.train(interrupt)
    steps: list[object] = []
    resumed = interrupted.train(lambda metrics: steps.append(metrics["step"]))
    assert steps[0] == 2
    assert resumed.step == uninterrupted.step == CONFIG.steps
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert [line["step"] for line in read_metrics(interrupted.out) if "loss" in line] == [1, 2, 3]
    assert (interrupted.out / CURVES_FILE).exists()
    assert (interrupted.out / CHECKPOINT_DIR / "model.safetensors").exists()


@pytest.mark.slow
def test_four_chips_are_memorized(shards: list[Path], tmp_path: Path) -> None:
    """After 50 steps on four chips, accuracy on them exceeds 0.9."""
    metrics: list[dict[str, object]] = []
    training_session(
        shards, tmp_path, replace(CONFIG, steps=50, batch_size=4, rows_per_image=3, peak_learning_rate=2e-3)
    ).train(metrics.append)
    assert metrics[-1]["accuracy"]["overall"] > 0.9  # type: ignore[index]
