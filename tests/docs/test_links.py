"""Links of Markdown pages name files and headings that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.code_blocks import ROOT

_CODE = re.compile(r"^( *)(```|~~~).*?^\1\2[ \t]*$|``[^`]+``|`[^`\n]+`|<!--.*?-->", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|href)=\"([^\"]+)\"|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"|\{[^}]*#([\w-]+)[^}]*\}")
ROOT_FILES = ("Makefile", "Dockerfile", "pyproject.toml", ".ci", ".github")
_REFERENCE = re.compile(r"docs/[\w/-]+\.md(?:#[\w-]+)?")


def markdown_pages() -> list[Path]:
    """Return the repository's Markdown pages, new ones included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in sorted(names) if (ROOT / name).is_file()]


def slug(heading: str) -> str:
    """Return the anchor that GitHub, and the site with pymdownx's slugs, give a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]+>|`", lambda match: match[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return all anchors of a page."""
    text = page.read_text()
    found = {anchor for match in _ANCHOR.findall(text) for anchor in match if anchor}
    counts: dict[str, int] = {}
    without_blocks = re.sub(r"^( *)(```|~~~).*?^\1\2[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in _HEADING.findall(re.sub(r"\s*\{[^}]*\}$", "", without_blocks, flags=re.MULTILINE)):
        name = slug(heading)
        number = counts[name] = counts.get(name, -1) + 1
        found.add(f"{name}-{number}" if number else name)
    return found


def broken(page: Path, target: str) -> bool:
    """Return whether a relative link names no file or no heading."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path) if path else page
    return not file.exists() or bool(anchor and file.suffix == ".md" and anchor not in anchors(file))


@pytest.mark.parametrize("page", markdown_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links and images name files and headings that exist."""
    text = _CODE.sub("", page.read_text())
    targets = [target for match in _LINK.findall(text) for target in match if target]
    relative = [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]
    assert [target for target in relative if broken(page, target)] == []


def test_code_names_pages_that_exist() -> None:
    """Messages, charts and comments that name a page of docs/ name one that exists, with its heading."""
    command = ["git", "ls-files", "--", "service", "helm", "tests", "loadtests", "examples", *ROOT_FILES]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    read = {name: (ROOT / name).read_bytes().decode(errors="ignore") for name in names if (ROOT / name).is_file()}
    found = [(name, page) for name, text in read.items() for page in _REFERENCE.findall(text)]
    assert len(found) > 10
    assert [(name, page) for name, page in found if broken(ROOT / "README.md", page)] == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Triton as a worker", "triton-as-a-worker"),
        ("`GET /v1/models`", "get-v1models"),
        ("What isn't supported?", "what-isnt-supported"),
        ("[Link](x.md) & more", "link--more"),
        ("sarlens.v1", "sarlensv1"),
    ],
)
def test_slugs_are_those_of_github_and_of_the_site(heading: str, anchor: str) -> None:
    """An anchor works on GitHub and on the site alike."""
    slugs = pytest.importorskip("pymdownx.slugs")
    assert slug(heading) == anchor
    assert slugs.slugify(case="lower")(re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading), "-") == anchor


def test_broken_links_are_found(tmp_path: Path) -> None:
    """A missing file and a missing heading are both broken; a repeated heading has a number."""
    (tmp_path / "a.md").write_text("# One\n\n## Two\n\n## Two\n\n```bash\n# Three\n```\n\n## Four { #four-4 }\n")
    page = tmp_path / "b.md"
    page.write_text("# Here\n")
    links = ["a.md", "a.md#one", "a.md#two-1", "#here", "a.md#four-4", "c.md", "a.md#three", "#there", "a.md#two-2"]
    assert [link for link in links if broken(page, link)] == ["c.md", "a.md#three", "#there", "a.md#two-2"]
