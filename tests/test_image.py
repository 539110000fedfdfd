"""The container image, as far as it can be judged without building it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile is clean by hadolint's rules."""
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run([str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_no_target_runs_as_root() -> None:
    """What runs is built on a stage with a user of its own, and none takes that back."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert {name: base for base, name in stages if name in {"nano", "gateway"}} == dict.fromkeys(
        ("nano", "gateway"), "runtime"
    )
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_everything_installed_is_pinned() -> None:
    """Each pip of the Dockerfile installs pinned files, the package itself, or one exact version."""
    for line in re.findall(r"pip install (.*?)(?: \\)?$", DOCKERFILE, re.MULTILINE):
        assert re.search(r"--requirement (gateway|worker)\.txt$|--no-build-isolation \.$|^setuptools==[0-9.]+$", line)


def test_the_gateway_carries_no_model_engine() -> None:
    """The pinned set of the gateway's image holds neither torch nor vLLM."""
    pins = (ROOT / "service/requirements/gateway.txt").read_text()
    assert not re.search(r"^(torch|vllm|transformers|nvidia)", pins, re.MULTILINE)


_ALONE = """
import importlib.abc, re, sys
from importlib.metadata import packages_distributions

pins = {re.split("[=; ]", line)[0].lower() for line in open(sys.argv[1]) if line.strip()} | {"sarlens"}
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
holders = {top: {plain(name) for name in names} for top, names in packages_distributions().items()}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in holders and not holders[top] & pins:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import sarlens.cli
"""


def test_the_gateway_runs_on_its_own_pins() -> None:
    """The command loads where nothing is installed but what the gateway's requirement file names."""
    pins = str(ROOT / "service/requirements/gateway.txt")
    ended = subprocess.run([sys.executable, "-c", _ALONE, pins], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
