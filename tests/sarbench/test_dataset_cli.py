"""The commands ``sarbench info`` and ``sarbench validate``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarbench.cli import app
from support.sarlang_fixture import (
    NICE,
    SARDET,
    write_csv,
    write_questions,
    write_released,
)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


def test_info_prints_counts_and_published_counts(released: Path) -> None:
    """``sarbench info`` prints the counts of the data set next to the published counts."""
    result = CliRunner().invoke(app, ["info", str(released)], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "Instance Counting" in result.output
    assert "117,382" in result.output


def test_validate_accepts_valid_data(released: Path) -> None:
    """Valid data gives exit code 0."""
    result = CliRunner().invoke(app, ["validate", str(released)])
    assert (result.exit_code, result.output.strip()) == (0, "40 valid rows, 0 invalid")


def test_validate_lists_invalid_rows_and_files(released: Path) -> None:
    """Invalid rows, files with wrong columns, and files of unknown name are listed, with exit code 1."""
    write_questions(released / "Text/VQA/test/SARVQA1_test.csv", [(SARDET, "", "2"), ("gone.jpg", "Q?", "A")])
    write_csv(released / "Text/caption/Caption_test.csv", ("Image", "Caption"), [(NICE, "A park.")])
    write_csv(released / "Text/VQA/SARVQA9_test.csv", ("Image",), [])
    result = CliRunner().invoke(app, ["validate", str(released)])
    assert result.exit_code == 1
    assert "SARVQA1_test.csv:2: Question is empty" in result.output
    assert "SARVQA1_test.csv:3: no image gone.jpg under SARimages" in result.output
    assert "Caption_test.csv:1: no column Image Name; the columns are: Image, Caption" in result.output
    assert "ignored, not a file name of the release: Text/VQA/SARVQA9_test.csv" in result.output
    assert "32 valid rows, 3 invalid" in result.output


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{tmp}/nowhere", "is not a directory. Download SARLANG-1M from https://huggingface.co/datasets/"),
        ("ftp://host/data", "must be a directory or s3://bucket/prefix"),
        ("s3://", "must be a directory or s3://bucket/prefix"),
        ("{tmp}", "no text files of SARLANG-1M found"),
    ],
)
def test_a_wrong_path_is_reported_in_one_sentence(path: str, message: str, tmp_path: Path) -> None:
    """A wrong path gives exit code 1 and one sentence that says how to get the data."""
    result = CliRunner().invoke(app, ["info", path.format(tmp=tmp_path)])
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
