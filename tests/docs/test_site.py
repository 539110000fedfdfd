"""The documentation site builds without warnings and finds its pages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.code_blocks import ROOT

BUILD_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site in strict mode, where every warning is an error. With ``--quiet``, MkDocs counts no warnings."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_search_index(site: Path) -> None:
    """Each page of docs/ is built, and its text is searchable."""
    index = json.loads((site / "search/search_index.json").read_text())
    found = {entry["location"].partition("#")[0] for entry in index["docs"] if entry["text"]}
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs).with_suffix(".html")) for page in docs.rglob("*.md")}
    assert pages - found == set()


def test_the_four_parts_are_the_navigation(site: Path) -> None:
    """The tabs are the four parts of the documentation."""
    page = (site / "index.html").read_text()
    tabs = re.findall(r'<li class="md-tabs__item.*?<a [^>]*>(.*?)</a>', page, re.DOTALL)
    assert [tab.strip() for tab in tabs] == ["Home", "Tutorials", "How-to guides", "Reference", "Explanation"]


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    """Scripts, styles and fonts are part of the site."""
    loaded = r'<(?:script|link)[^>]+(?:src|href)="(https?://[^"]+)'
    external = {url for page in site.rglob("*.html") for url in re.findall(loaded, page.read_text())}
    assert external == set()
