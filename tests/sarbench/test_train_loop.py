"""Training: chips, stretches, kills, and learning by heart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sarbench.errors import TrainingError
from sarbench.train.chips import Chips, make_shards
from sarbench.train.loop import Stretch
from sarbench.train.plan import Plan
from sarbench.train.progress import CURVES, Progress, draw_curves, observations
from sarbench.train.state import CHECKPOINT, FILE, State
from sarlens.prompts.applications import Application

PLAN = Plan(steps=3, images=4, held_out=2, batch=2, rows=1, peak=1e-3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four chips."""
    return make_shards(tmp_path_factory.mktemp("chips"), "train", 4, seed=0, jobs=1)


def stretch(shards: list[Path], out: Path, plan: Plan = PLAN) -> Stretch:
    """A training on four chips that is asked about the same."""
    out.mkdir(exist_ok=True)
    return Stretch(plan, Chips(shards), Chips(shards), out, CPU)


def weights(state: State) -> torch.Tensor:
    """All weights as one vector."""
    return torch.cat([weight.detach().flatten() for weight in state.forward.model.parameters()])


def test_shards_are_the_same_however_made(shards: list[Path], tmp_path: Path) -> None:
    """Chips depend on the seed alone, and those that are there already are not made again."""
    told: list[int] = []
    (again,) = make_shards(tmp_path, "train", 4, seed=0, jobs=2, advance=told.append)
    assert again.read_bytes() == shards[0].read_bytes()
    assert again.with_suffix(".json").read_text() == shards[0].with_suffix(".json").read_text()
    when = again.stat().st_mtime_ns
    make_shards(tmp_path, "train", 4, seed=0, jobs=2)
    assert again.stat().st_mtime_ns == when
    assert told == [0, 4]
    assert make_shards(tmp_path, "test", 4, seed=0, jobs=1)[0].read_bytes() != again.read_bytes()


def test_an_application_can_be_left_out(shards: list[Path]) -> None:
    """Chips without an application lose its questions and nothing else."""
    for (picture, known), (_, less) in zip(Chips(shards), Chips(shards, [Application.OTHERS]), strict=True):
        assert picture.any()
        assert less.questions == tuple(qa for qa in known.questions if qa.application is not Application.OTHERS)
        assert (less.captions, less.boxes) == (known.captions, known.boxes)


def test_a_training_that_was_cut_off_ends_where_it_would_have(shards: list[Path], tmp_path: Path) -> None:
    """A kill after the second step costs that step, and the end is bit for bit the same as without it."""

    def kill(noted: dict[str, object]) -> None:
        if noted["step"] == 2:
            raise KeyboardInterrupt

    plan = replace(PLAN, noted=1, asked=1)
    through = stretch(shards, tmp_path / "through", plan).train()
    cut = stretch(shards, tmp_path / "cut", plan)
    with pytest.raises(KeyboardInterrupt):
        cut.train(kill)
    told: list[object] = []
    resumed = cut.train(lambda noted: told.append(noted["step"]))
    assert told[0] == 2
    assert resumed.step == through.step == PLAN.steps
    assert torch.equal(weights(resumed), weights(through))
    assert [line["step"] for line in observations(cut.out) if "loss" in line] == [1, 2, 3]
    assert (cut.out / CURVES).exists()
    assert (cut.out / CHECKPOINT / "model.safetensors").exists()


@pytest.mark.slow
def test_a_handful_of_chips_is_learnt_by_heart(shards: list[Path], tmp_path: Path) -> None:
    """Fifty steps on four chips, and the model knows their answers."""
    noted: list[dict[str, object]] = []
    stretch(shards, tmp_path, replace(PLAN, steps=50, batch=4, rows=3, peak=2e-3)).train(noted.append)
    assert noted[-1]["accuracy"]["overall"] > 0.9  # type: ignore[index]


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    """A state that cannot be read stops the training in a sentence and is left as it is."""
    (tmp_path / FILE).write_bytes(b"half a state")
    with pytest.raises(TrainingError, match="damaged"):
        State.begin(0, CPU).restore(tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"half a state"


def test_notes_that_will_come_again_are_dropped(tmp_path: Path) -> None:
    """After a kill the log goes back to the kept step, and a line that was cut off does no harm."""
    progress = Progress(tmp_path, 0)
    for step in (50, 100, 150):
        progress.note(step=step, loss=1.0, objects=2.0, accuracy={"overall": 0.5})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2')
    Progress(tmp_path, 100)
    assert [line["step"] for line in observations(tmp_path)] == [50, 100]
    draw_curves(tmp_path)
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")
