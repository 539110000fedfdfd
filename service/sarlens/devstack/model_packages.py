"""Python packages that the architecture of a model needs in vLLM, found without an import of vLLM or torch.

vLLM's registry names the module of each architecture. The imports at the top of this module, and of the modules of
models and processors that it imports, run whenever the model loads: if one names a package that isn't installed, the
worker can't start.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sarlens.errors import StartupError

_MODELS = "vllm.model_executor.models"
_FOLLOWED = (_MODELS, "vllm.transformers_utils.processors", "transformers.models")
"""Packages whose modules belong to single architectures."""
_MAX_CONFIG_BYTES = 2**20


class ModelNeedsPackage(StartupError):
    """The architecture of a model needs a package that isn't installed."""


def require_packages(model: str) -> None:
    """Check that the packages of a model's architecture are installed; a model without a readable config passes.

    Args:
        model: directory of the model, or its name on a hub.

    Raises:
        ModelNeedsPackage: a package is missing; the message names it and the remedy.
    """
    spec = find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return
    packages = Path(spec.submodule_search_locations[0]).parent
    for architecture in architectures(model):
        for package in missing_packages(architecture, packages):
            raise ModelNeedsPackage(
                f"the architecture {architecture} needs the package {package} in vLLM, which isn't installed: "
                f"install the build of {package} that matches your torch, or serve the model with vLLM on a GPU "
                "(docs/how-to/install.md#models-that-need-torchvision)"
            )


def architectures(model: str) -> list[str]:
    """Return the architectures in a model's ``config.json``, from its directory or a hub; none if unreadable."""
    folder = Path(model)
    try:
        path = folder / "config.json" if folder.is_dir() else _from_hub(model)
        if path is None or path.stat().st_size > _MAX_CONFIG_BYTES:
            return []
        config = json.loads(path.read_bytes())
        found = config.get("architectures") if isinstance(config, dict) else None
    except (OSError, ValueError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def missing_packages(architecture: str, packages: Path) -> Iterator[str]:
    """Yield the packages that an architecture imports and that aren't installed.

    Args:
        architecture: name in a model's ``config.json``, such as ``Qwen2VLForConditionalGeneration``.
        packages: directory that holds the packages ``vllm`` and ``transformers``.
    """
    module = _module_of(architecture, packages)
    waiting, seen = [f"{_MODELS}.{module}"] if module else [], set[str]()
    while waiting:
        name = waiting.pop()
        file = _source(packages, name)
        if name in seen or file is None:
            continue
        seen.add(name)
        for imported in _imports(file, name):
            root = imported.partition(".")[0]
            if imported.startswith(_FOLLOWED):
                waiting.append(imported)
            elif root not in seen and find_spec(root) is None:
                seen.add(root)
                yield root


def _from_hub(model: str) -> Path | None:
    """Return the config of a model in the hub's cache, or download it; None if neither works, as vLLM then reports."""
    from huggingface_hub import errors, hf_hub_download  # noqa: PLC0415  a dependency of vLLM, not of the gateway

    try:
        return Path(hf_hub_download(model, "config.json"))
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError):
        return None


def _module_of(architecture: str, packages: Path) -> str | None:
    """Return the module of an architecture in the tables of vLLM's registry."""
    registry = packages / "vllm/model_executor/models/registry.py"
    for statement in ast.parse(registry.read_text()).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            for key, value in zip(statement.value.keys, statement.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == architecture and isinstance(value, ast.Tuple):
                    return str(ast.literal_eval(value)[0])
    return None


def _source(packages: Path, module: str) -> Path | None:
    base = packages.joinpath(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _imports(file: Path, module: str) -> Iterator[str]:
    """Yield the modules that a module imports unconditionally, at its top level."""
    parents = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            above = parents[: len(parents) - statement.level + 1] if statement.level else []
            source = ".".join([*above, *([statement.module] if statement.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in statement.names)
