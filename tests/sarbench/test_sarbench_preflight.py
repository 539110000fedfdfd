"""Checks of a command's requirements before expensive work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.errors import RequirementError
from sarbench.preflight import prepare_directory, prepare_file, require_modules


def sarbench_command(*arguments: object) -> Result:
    """Run sarbench."""
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def test_missing_modules_are_named_with_their_installation() -> None:
    """All missing modules are named, and installed ones are not."""
    with pytest.raises(RequirementError) as caught:
        require_modules("sarbench x", ("json", "no_such_module", "no_other_module"), "install them")
    assert str(caught.value) == "sarbench x requires no_such_module and no_other_module: install them"


def test_output_paths_are_created_or_rejected(tmp_path: Path) -> None:
    """Missing directories are created; a file in their place, or a directory in place of a file, is an error."""
    prepare_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    prepare_file(tmp_path / "c" / "x.tif")
    assert (tmp_path / "c").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RequirementError, match=r"cannot create the directory .*file: File exists"):
        prepare_directory(tmp_path / "file")
    with pytest.raises(RequirementError, match=r"cannot create the directory .*: Not a directory"):
        prepare_file(tmp_path / "file" / "y" / "x.tif")
    with pytest.raises(RequirementError, match="is a directory: name a file"):
        prepare_file(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--images", 1, "--out", "{file}"),
        ("scenes", "--out", "{file}"),
        ("scene", "--out", "{file}/x.tif"),
        ("nano", "--out", "{file}"),
        ("train", "--out", "{file}", "--device", "cpu"),
    ],
)
def test_unusable_output_is_reported_in_one_sentence(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """A file in place of the output directory gives exit code 1 and one sentence."""
    (tmp_path / "file").write_text("")
    result = sarbench_command(*(str(argument).format(file=tmp_path / "file") for argument in arguments))
    assert result.exit_code == 1
    assert result.stderr == f"sarbench: cannot create the directory {tmp_path / 'file'}: File exists\n"


def test_a_scene_must_be_a_tiff(tmp_path: Path) -> None:
    """Another suffix is rejected before the scene is rendered."""
    result = sarbench_command("scene", "--out", tmp_path / "scene.json")
    assert result.exit_code == 1
    assert "--out must end in .tif or .tiff, not scene.json" in result.stderr


@pytest.mark.parametrize("command", ["nano", "train"])
def test_a_missing_torch_is_reported(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch, the command names the extras that install it and writes nothing."""
    monkeypatch.setitem(sys.modules, "torch", None)
    result = sarbench_command(command, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"sarbench {command} requires torch: install the extra cpu or gpu from a checkout" in result.stderr
    assert not (tmp_path / "out").exists()
