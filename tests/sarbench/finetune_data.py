"""A data set for fine-tuning tests in which every count has the same answer."""

from __future__ import annotations

import csv
from pathlib import Path

from typer.testing import CliRunner, Result

from sarbench.cli import app

QUESTIONS_FILE = Path("Text", "VQA", "train", "SARVQA1_train.csv")
TRAINED_COUNT = "8"
"""Answer to every counting question, regardless of the image."""


def sarbench_command(*arguments: object) -> Result:
    """Run sarbench."""
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def write_counting_data(out: Path) -> Path:
    """Simulate a few images and replace all counts with ``TRAINED_COUNT``."""
    result = sarbench_command("simulate", "--out", out, "--images", 16, "--test", 4, "--seed", 9)
    assert result.exit_code == 0, result.output
    path = out / QUESTIONS_FILE
    with path.open(newline="") as file:
        rows = [[*row, TRAINED_COUNT if answer.isdigit() else answer] for *row, answer in csv.reader(file)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return out
