"""Documentation that could rot is held to the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sarlens.errors
from sarlens.errors import SarlensError
from sarlens.ingress.openai import PATHS
from sarlens.metrics import Metrics
from sarlens.settings import describe
from stack.errors import tree

ROOT = Path(__file__).parents[1]


def test_every_setting_is_documented() -> None:
    """docs/settings.md holds each setting with its default and meaning, and no other."""
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |"
        for variable, default, meaning in describe()
    ]
    assert all(meaning for _, _, meaning in describe())
    documented = [line for line in (ROOT / "docs/settings.md").read_text().splitlines() if line.startswith("| `")]
    assert documented == rows


def test_every_metric_is_documented() -> None:
    """docs/metrics.md holds each metric with its labels, and no other."""
    page = (ROOT / "docs/metrics.md").read_text()
    documented = dict(re.findall(r"^\| `(sarlens_\w+)` \|(?: (.*?))?? \|", page, re.MULTILINE))
    made = {
        f"{metric._name}{'_total' if metric._type == 'counter' else ''}": ", ".join(
            f"`{label}`" for label in metric._labelnames
        )
        for metric in vars(Metrics()).values()
        if hasattr(metric, "_labelnames")
    }
    assert documented == made


def test_every_error_is_documented() -> None:
    """docs/errors.md holds each code with its status, and the drawing of the tree holds each class."""
    page = (ROOT / "docs/errors.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE))
    assert documented == {kind.code: str(kind.status) for kind in tree()}
    drawn = sarlens.errors.__doc__ or ""
    for kind in set(tree()) - {SarlensError}:
        assert re.search(rf"─ {kind.__name__} +{kind.status}\b", drawn), kind


def test_error_codes_are_unique() -> None:
    """No two errors share a code."""
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


TASKS = {"/v1/sar/vqa", "/v1/sar/captions"}
OTHERS = {"/v1/models", "/v1/sar/picture", "/healthz", "/readyz", "/health", "/metrics"}


@pytest.mark.parametrize("path", sorted(PATHS | TASKS | OTHERS))
def test_every_route_is_in_the_readme(path: str) -> None:
    """The README's table names each route."""
    assert re.search(rf"(GET|POST) {path}\b", (ROOT / "README.md").read_text())


def test_the_readme_is_short() -> None:
    """The README is read in one sitting."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_every_link_leads_somewhere() -> None:
    """Relative links of the README and the docs name files that exist."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
