"""The ``sarbench finetune`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from finetune_data import QUESTIONS_FILE, sarbench_command, write_counting_data

from sarbench.nano.checkpoint import write_trained


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated images with constant counts."""
    return write_counting_data(tmp_path_factory.mktemp("finetune") / "data")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sarlens-nano."""
    out = tmp_path_factory.mktemp("finetune") / "sarlens-nano"
    write_trained(out)
    return out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--base", "{base}"), "--data"),
        (("--resume",), "no fine-tuning to resume"),
        (
            ("--base", "{base}", "--data", "{tmp}/nothing"),
            "nothing is not a directory. Download SARLANG-1M from https://",
        ),
        (("--base", "{tmp}/nothing", "--data", "{data}"), "nothing is not a directory"),
        (("--base", "{tmp}", "--data", "{data}"), "cannot be loaded"),
        (("--base", "{tmp}/bert", "--data", "{data}"), "bert"),
        (("--base", "{base}", "--data", "{data}", "--device", "tpu"), "tpu"),
        (("--base", "{base}", "--data", "{tmp}/broken"), "ships.png"),
    ],
)
def test_invalid_options_are_reported_in_one_sentence(
    base: Path, data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """A missing or unknown base model, missing data, or an invalid row gives one sentence and exit code 1."""
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "broken" / "SARimages").mkdir(parents=True)
    texts = tmp_path / "broken" / QUESTIONS_FILE
    texts.parent.mkdir(parents=True)
    texts.write_text("Image Name,Question,Answer\nships.png,How many ships are in the image?,2\n")
    filled = [argument.format(base=base, data=data, tmp=tmp_path) for argument in arguments]
    result = sarbench_command("finetune", "--out", tmp_path / "out", *filled)
    assert result.exit_code == 1, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_missing_package_is_reported_before_anything_is_loaded(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without peft, the command names the extra to install and creates no output."""
    monkeypatch.setitem(sys.modules, "peft", None)
    result = sarbench_command("finetune", "--out", tmp_path / "out", "--base", base, "--data", data)
    assert result.exit_code == 1
    assert 'sarbench finetune requires peft: install the extra finetune from a checkout: pip install ".[finetune]"' in (
        " ".join(result.output.split())
    )
    assert not (tmp_path / "out").exists()


def test_the_help_names_a_command_that_serves_the_adapter() -> None:
    """--help shows how to serve the adapter with ``sarlens worker``."""
    assert "sarlens worker --model BASE --enable-lora" in " ".join(
        sarbench_command("finetune", "--help").output.split()
    )
