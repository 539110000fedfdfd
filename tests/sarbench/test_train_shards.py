"""Shards of simulated chips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sarbench.train.shards import ShardedChips, make_shards
from sarlens.prompts.applications import Application


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A shard of four chips."""
    return make_shards(tmp_path_factory.mktemp("chips"), "train", 4, seed=0, jobs=1)


def test_shards_are_reproducible(shards: list[Path], tmp_path: Path) -> None:
    """Shards depend only on the seed and split, and existing ones are kept."""
    progress: list[int] = []
    (again,) = make_shards(tmp_path, "train", 4, seed=0, jobs=2, advance=progress.append)
    assert again.read_bytes() == shards[0].read_bytes()
    assert again.with_suffix(".json").read_text() == shards[0].with_suffix(".json").read_text()
    modified_at = again.stat().st_mtime_ns
    make_shards(tmp_path, "train", 4, seed=0, jobs=2)
    assert again.stat().st_mtime_ns == modified_at
    assert progress == [0, 4]
    assert make_shards(tmp_path, "test", 4, seed=0, jobs=1)[0].read_bytes() != again.read_bytes()


def test_excluded_applications_have_no_questions(shards: list[Path]) -> None:
    """Excluding an application removes its questions and nothing else."""
    for (image, labels), (_, less) in zip(
        ShardedChips(shards), ShardedChips(shards, [Application.OTHERS]), strict=True
    ):
        assert image.any()
        assert less.questions == tuple(qa for qa in labels.questions if qa.application is not Application.OTHERS)
        assert (less.captions, less.boxes) == (labels.captions, labels.boxes)


def test_the_simulating_processes_do_not_load_torch() -> None:
    """A process that simulates chips starts without torch and transformers, whose import takes seconds."""
    code = "import sys; import sarbench.train.shards; print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
