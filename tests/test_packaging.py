"""The package's version, extras and pins agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import sarlens

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = ROOT / "service/requirements"
PIN_FILES = {
    "gateway.txt": ("postgres",),
    "worker.txt": ("postgres", "cpu", "local"),
    "finetune.txt": ("postgres", "finetune"),
    "dev.txt": ("dev", "docs", "test"),
}


def normalized(requirement: str) -> str:
    """Return the distribution name of ``requirement`` as PyPI normalizes it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_the_version_has_one_source() -> None:
    """The chart, the image label and the changelog name the version of ``sarlens.__version__``."""
    chart = yaml.safe_load((ROOT / "helm/sarlens/Chart.yaml").read_text())
    label = re.search(r'image\.version="([^"]+)"', (ROOT / "Dockerfile").read_text())
    release = re.search(r"^## \[?(\d[\w.]*)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert label
    assert release
    assert PROJECT["dynamic"] == ["version"]
    assert {chart["appVersion"], chart["version"], label[1], release[1]} == {sarlens.__version__}


@pytest.mark.parametrize("file", PIN_FILES)
def test_every_requirement_is_pinned(file: str) -> None:
    """Each pin file has exactly one kind of pin, ``name==version``, and holds every dependency of its extras."""
    lines = (PINS / file).read_text().splitlines()
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==[\w.!]+( ; .*)?$", line)] == []
    wanted = [*PROJECT["dependencies"], *(line for extra in PIN_FILES[file] for line in EXTRAS[extra])]
    names = {normalized(line) for line in wanted} - {"sarlens"}
    assert names - {normalized(line) for line in lines} == set()


def test_pins_agree() -> None:
    """A package has the same version in every pin file."""
    versions: dict[str, set[frozenset[str]]] = {}
    for file in PIN_FILES:
        pins: dict[str, set[str]] = {}
        for line in (PINS / file).read_text().splitlines():
            name, _, rest = line.partition("==")
            pins.setdefault(name, set()).add(rest.split(" ;")[0])
        for name, found in pins.items():
            versions.setdefault(name, set()).add(frozenset(found))
    assert {name for name, found in versions.items() if len(found) > 1} == set()


def test_cpu_and_gpu_extras_have_the_same_release_of_vllm() -> None:
    """Both worker extras pin one vLLM release, so that both have the same API."""
    releases = {requirement.split("==")[1] for extra in ("cpu", "gpu") for requirement in EXTRAS[extra]}
    assert len(releases) == 1


def test_fixtures_import_without_the_heavy_packages() -> None:
    """``conftest.py`` imports with the ``test`` extra alone: without torch, vLLM or type stubs."""
    missing = ["torch", "transformers", "vllm", "locust", "types_boto3_s3", "geopandas", "matplotlib", "scipy"]
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import conftest"
    path = {"PYTHONPATH": f"{ROOT / 'service'}:{ROOT / 'tests'}:{ROOT / 'loadtests'}"}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
