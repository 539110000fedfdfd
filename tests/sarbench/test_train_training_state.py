"""Saved state of a training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sarbench.errors import TrainingError
from sarbench.train.training_state import STATE_FILE, TrainingState


def test_a_damaged_state_is_reported(tmp_path: Path) -> None:
    """A damaged state raises a TrainingError and is left unchanged."""
    (tmp_path / STATE_FILE).write_bytes(b"half a state")
    with pytest.raises(TrainingError, match="damaged"):
        TrainingState.initial(0, torch.device("cpu")).restore(tmp_path)
    assert (tmp_path / STATE_FILE).read_bytes() == b"half a state"
