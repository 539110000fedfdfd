"""The check of the packages that a model's architecture needs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sarlens.cli import app
from sarlens.devstack import model_packages
from sarlens.devstack.model_packages import ModelNeedsPackage, architectures, missing_packages, require_packages

SITE = Path(importlib.util.find_spec("transformers").origin).parents[1]  # type: ignore[union-attr,arg-type]
NEEDS_TORCHVISION = {
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Qwen2_5_VLForConditionalGeneration": "qwen2_5_vl",
    "Qwen3VLForConditionalGeneration": "qwen3_vl",
    "LlavaForConditionalGeneration": "llava",
    "LlavaNextForConditionalGeneration": "llava_next",
    "InternVLChatModel": "internvl",
    "Gemma3ForConditionalGeneration": "gemma3_mm",
}
NEEDS_NOTHING = {
    "Idefics3ForConditionalGeneration": "idefics3",
    "PaliGemmaForConditionalGeneration": "paligemma",
    "Phi3VForCausalLM": "phi3v",
    "MolmoForCausalLM": "molmo",
    "MiniCPMV": "minicpmv",
}
_IMPORTS = """
import importlib, json, sys
missing = {}
for module in json.loads(sys.argv[1]):
    try:
        importlib.import_module("vllm.model_executor.models." + module)
    except ModuleNotFoundError as error:
        missing[module] = [error.name]
print(json.dumps(missing))
"""


@pytest.fixture
def without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which torchvision isn't installed."""
    monkeypatch.setattr(
        model_packages, "find_spec", lambda name: None if name == "torchvision" else importlib.util.find_spec(name)
    )


def model_in(folder: Path, config: Any) -> str:
    """Write the config of a model, and return its directory."""
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return str(folder)


@pytest.mark.usefixtures("without_torchvision")
@pytest.mark.parametrize("architecture", [*NEEDS_TORCHVISION, *NEEDS_NOTHING])
def test_the_missing_package_of_an_architecture_is_named(tmp_path: Path, architecture: str) -> None:
    """Recommended families need torchvision, and the error names it with the architecture; others pass."""
    model = model_in(tmp_path, {"architectures": [architecture]})
    if architecture in NEEDS_NOTHING:
        require_packages(model)
        return
    with pytest.raises(ModelNeedsPackage, match=f"{architecture} needs the package torchvision .* isn't installed"):
        require_packages(model)


@pytest.fixture(scope="module")
def failing_imports() -> dict[str, list[str]]:
    """The missing package of each module of vLLM that can't be imported here."""
    modules = [*NEEDS_TORCHVISION.values(), *NEEDS_NOTHING.values()]
    command = [sys.executable, "-c", _IMPORTS, json.dumps(modules)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    missing: dict[str, list[str]] = json.loads(printed.splitlines()[-1])
    return missing


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize(("architecture", "module"), (NEEDS_TORCHVISION | NEEDS_NOTHING).items())
def test_vllm_imports_an_architecture(failing_imports: dict[str, list[str]], architecture: str, module: str) -> None:
    """vLLM imports the module of an architecture unless a package is missing, which the check names as well."""
    missing = failing_imports.get(module, [])
    assert list(missing_packages(architecture, SITE)) == missing
    if missing:
        assert missing == ["torchvision"]
        pytest.skip("torchvision isn't installed: the package index has no build of it for this torch")


@pytest.mark.parametrize(
    "config", ["", "[]", "{", {}, {"architectures": None}, {"architectures": [7]}, {"architectures": ["Unknown"]}]
)
def test_a_config_that_names_no_known_architecture_passes(tmp_path: Path, config: Any) -> None:
    """vLLM reports what it can't load; the check is only about packages."""
    require_packages(model_in(tmp_path, config))


def test_a_model_of_a_hub_that_cannot_be_reached_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its config, the architecture is unknown, and so is the one of an invalid name."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert architectures("nobody/nothing") == []
    assert architectures("not a name of/a/model") == []


@pytest.mark.usefixtures("without_torchvision")
def test_the_worker_command_names_the_package_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sarlens worker` ends with the reason; a model that needs nothing starts, without a hub if it is local."""
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _, __, environment: started.append(environment))
    command = ["worker", "--model", model_in(tmp_path, {"architectures": ["LlavaForConditionalGeneration"]})]
    failed = CliRunner().invoke(app, [*command, "--port", "49151"])
    assert (failed.exit_code, started) == (1, [])
    assert "needs the package torchvision" in " ".join(failed.output.split())
    model_in(tmp_path, {"architectures": ["Idefics3ForConditionalGeneration"]})
    assert CliRunner().invoke(app, [*command, "--port", "49151"]).exit_code == 0
    assert [environment["HF_HUB_OFFLINE"] for environment in started] == ["1"]
