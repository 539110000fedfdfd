"""Documentation of settings, metrics, errors and routes, compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sarlens.errors
from sarlens.chat.paths import COMPLETION_PATHS
from sarlens.errors import SarlensError
from sarlens.observability.metrics import Metrics
from sarlens.profiles.table import describe_fields
from sarlens.settings import describe
from support.errors import tree

ROOT = Path(__file__).parents[1]


def test_every_setting_is_documented() -> None:
    """docs/reference/settings.md lists exactly the settings of the code, with their defaults and meanings."""
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |"
        for variable, default, meaning in describe()
    ]
    assert all(meaning for _, _, meaning in describe())
    documented = [
        line for line in (ROOT / "docs/reference/settings.md").read_text().splitlines() if line.startswith("| `")
    ]
    assert documented == rows


def test_every_field_of_profiles_is_documented() -> None:
    """docs/reference/profiles.md lists exactly the fields of a profile, with their defaults and meanings."""
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |"
        for name, default, meaning in describe_fields()
    ]
    assert all(meaning for _, _, meaning in describe_fields())
    page = (ROOT / "docs/reference/profiles.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `")] == rows


def test_every_metric_is_documented() -> None:
    """docs/reference/metrics.md lists exactly the metrics of the code, with their labels."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    documented = dict(re.findall(r"^\| `(sarlens_\w+)` \|(?: (.*?))?? \|", page, re.MULTILINE))
    exported = {
        f"{metric._name}{'_total' if metric._type == 'counter' else ''}": ", ".join(
            f"`{label}`" for label in metric._labelnames
        )
        for metric in vars(Metrics()).values()
        if hasattr(metric, "_labelnames")
    }
    assert documented == exported


def test_every_error_is_documented() -> None:
    """docs/reference/errors.md lists each code with its status, and the tree in the code shows each class."""
    page = (ROOT / "docs/reference/errors.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE))
    assert documented == {error.code: str(error.status) for error in tree()}
    diagram = sarlens.errors.__doc__ or ""
    for error in set(tree()) - {SarlensError}:
        assert re.search(rf"─ {error.__name__} +{error.status}\b", diagram), error


def test_error_codes_are_unique() -> None:
    """No two errors share a code."""
    codes = [error.code for error in tree()]
    assert len(codes) == len(set(codes))


TASKS = {"/v1/sar/vqa", "/v1/sar/captions"}
OTHERS = {"/v1/models", "/v1/sar/picture", "/healthz", "/readyz", "/health", "/version", "/metrics"}


@pytest.mark.parametrize("path", sorted(COMPLETION_PATHS | TASKS | OTHERS))
def test_every_route_is_in_the_readme(path: str) -> None:
    """The table of the README names each route."""
    assert re.search(rf"(GET|POST) {path}\b", (ROOT / "README.md").read_text())


def test_the_readme_is_short() -> None:
    """The README has at most 130 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
