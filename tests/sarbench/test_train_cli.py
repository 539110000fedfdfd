"""The ``sarbench train`` command."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.train import cli as train_cli
from sarbench.train.metrics_log import CURVES_FILE, LOG_FILE


def test_training_without_matplotlib_warns_and_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib, training warns at the start, writes the log and the checkpoint, and draws no curves."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(train_cli, "DEFAULTS", replace(train_cli.DEFAULTS, held_out_images=2, batch_size=2))
    arguments = ["--images", "4", "--steps", "1", "--jobs", "1", "--device", "cpu"]
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path), *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert f"matplotlib isn't installed: metrics go to {LOG_FILE} only, without {CURVES_FILE}" in result.output
    assert (tmp_path / LOG_FILE).exists()
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()
    assert not (tmp_path / CURVES_FILE).exists()


def test_an_unknown_device_is_rejected_before_simulation(tmp_path: Path) -> None:
    """An unknown device gives exit code 1 and leaves no configuration, so the same command can run again."""
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path), "--device", "tpu"])
    assert result.exit_code == 1
    assert "--device must be auto, cpu, or cuda, not tpu" in result.output
    assert not list(tmp_path.iterdir())
