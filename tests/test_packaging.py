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


def pinned(file: str) -> list[str]:
    """Return the requirements of a pin file, without their hashes."""
    return [line.removesuffix(" \\") for line in (PINS / file).read_text().splitlines() if line[0] != " "]


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
    lines = pinned(file)
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==[\w.!]+( ; .*)?$", line)] == []
    wanted = [*PROJECT["dependencies"], *(line for extra in PIN_FILES[file] for line in EXTRAS[extra])]
    names = {normalized(line) for line in wanted} - {"sarlens"}
    assert names - {normalized(line) for line in lines} == set()


def test_the_pins_of_the_gateway_have_hashes() -> None:
    """Each requirement of the gateway has SHA-256 hashes, and the image is built with ``--require-hashes``."""
    groups = re.split(r"^(?=\S)", (PINS / "gateway.txt").read_text(), flags=re.MULTILINE)[1:]
    assert len(groups) == len(pinned("gateway.txt"))
    assert all(re.fullmatch(r"\S.* \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", group) for group in groups)
    assert "--require-hashes --requirement gateway.txt" in (ROOT / "Dockerfile").read_text()


def test_pins_agree() -> None:
    """A package has the same version in every pin file."""
    versions: dict[str, set[frozenset[str]]] = {}
    for file in PIN_FILES:
        pins: dict[str, set[str]] = {}
        for line in pinned(file):
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


def test_the_wheel_has_the_console_but_not_its_sources() -> None:
    """The wheel contains each built file of the console, and nothing of the folder that they are built from."""
    code = (
        "from setuptools import Distribution; project = Distribution({'script_name': 'setup.py'}); "
        "project.parse_config_files(); "
        "command = project.get_command_obj('build_py'); command.build_lib = 'lib'; command.ensure_finalized(); "
        "print(*command.get_outputs(), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    packed = {
        name.removeprefix("lib/sarlens/api/console/") for name in done.stdout.splitlines() if "/api/console/" in name
    }
    static = ROOT / "service/sarlens/api/console/static"
    built = {f"static/{path.relative_to(static).as_posix()}" for path in static.rglob("*") if path.is_file()}
    assert "static/console/console.js" in built
    assert {name for name in packed if not name.endswith(".py")} == built
