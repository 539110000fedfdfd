"""The built files of the console are those that its sources make, with the licenses of their packages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sarlens.api.console.files import STATIC

WEB = STATIC.parent / "web"
LOCK = json.loads((WEB / "package-lock.json").read_text())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js")
def test_the_build_equals_its_sources(tmp_path: Path) -> None:
    """`make console` on the committed sources writes the committed files, byte for byte."""
    copy = tmp_path / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    subprocess.run(install, cwd=copy, check=True, capture_output=True)
    subprocess.run(["npm", "run", "build"], cwd=copy, check=True, capture_output=True)
    built = tmp_path / "static"
    names = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
    assert names == {path.relative_to(STATIC) for path in STATIC.rglob("*") if path.is_file()}
    changed = [str(name) for name in names if (built / name).read_bytes() != (STATIC / name).read_bytes()]
    assert changed == [], "run `make console` and commit"


def test_dependencies_are_pinned_without_an_address() -> None:
    """Every npm package has an exact version and a hash in the lock file, and no address of a registry."""
    package = json.loads((WEB / "package.json").read_text())
    assert [
        version for version in package["devDependencies"].values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)
    ] == []
    assert "dependencies" not in package
    packages = {name: entry for name, entry in LOCK["packages"].items() if name}
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if not entry["integrity"].startswith("sha512-")] == []


def test_licenses_name_every_package_of_the_build() -> None:
    """LICENSES.txt has each package in the built files with the version of the lock file, and a permissive license."""
    heads = re.findall(r"^([@\w/-]+) ([\d.]+) \((.+)\)$", (STATIC / "console/LICENSES.txt").read_text(), re.MULTILINE)
    versions = {name: version for name, version, _ in heads}
    assert {"ol", "proj4", "topojson-client", "world-atlas", "swagger-ui-dist", "redoc"} <= set(versions)
    assert versions == {name: LOCK["packages"][f"node_modules/{name}"]["version"] for name in versions}
    assert {terms for _, _, terms in heads} <= {
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "Unlicense",
    }


def test_vendored_axe_is_the_pinned_one() -> None:
    """The axe-core that the accessibility tests run is the version of the lock file."""
    script = (Path(__file__).parent / "vendor/axe.min.js").read_text()
    assert script.startswith(f"/*! axe v{LOCK['packages']['node_modules/axe-core']['version']}\n")
