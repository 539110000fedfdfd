"""Retired words of docs/glossary.md are used nowhere else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs/glossary.md"
SEARCHED = ("service", "tests", "loadtests", "docs", "helm", "examples", "README.md", "CONTRIBUTING.md")
SUFFIXES = {".md", ".py", ".proto", ".pyi", ".yaml", ".yml", ".tpl", ".txt", ".json", ".sh", ".toml", ".html"}
EXEMPT = {"docs/glossary.md", "CHANGELOG.md", "tests/test_glossary.py"}
TERMS_IN_THE_DESIGN = 10


def retired_words(page: str) -> dict[str, str]:
    """Return each retired word of the glossary's tables and the term that replaces it."""
    words = {}
    for row in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)][1:-1]
        if len(cells) == 3 and not re.fullmatch(r":?-+:?", cells[0]) and cells[2] != "retired words":
            words.update(dict.fromkeys(re.findall(r"`([^`]+)`", cells[2]), cells[0].strip("*` ")))
    return words


def pattern_of(words: list[str]) -> re.Pattern[str]:
    """Match the words whole, in their exact case."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?!\w)")


def searched_files() -> list[str]:
    """Return the repository's text files below the searched folders."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SEARCHED]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in names if Path(name).suffix in SUFFIXES and name not in EXEMPT and (ROOT / name).is_file()]


def test_retired_words_are_used_nowhere() -> None:
    """No file of service/, tests/, loadtests/, docs/, helm/ and examples/ uses a retired word."""
    words = retired_words(GLOSSARY.read_text())
    pattern = pattern_of(list(words))
    uses = []
    for name in searched_files():
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            uses += [f"{name}:{number}: {word} (use: {words[word]})" for word in pattern.findall(line)]
    assert uses == []


def test_the_glossary_names_a_term_for_each_retired_word() -> None:
    """The table has a term and a meaning in every row, and no word is both a term and retired."""
    page = GLOSSARY.read_text()
    rows = re.findall(r"^\| *([^|]+?) *\| *([^|]+?) *\| *([^|]*?) *\|$", page, re.MULTILINE)
    terms = [term.strip("*` ").lower() for term, meaning, _ in rows if meaning.strip("-: ") and term != "term"]
    assert len(terms) >= TERMS_IN_THE_DESIGN
    assert len(set(terms)) == len(terms)
    assert set(terms) & {word.lower() for word in retired_words(page)} == set()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("class Door:", ["Door"]),
        ("the door is open", []),
        ("Doorbell and OpenDoor", []),
        ("self.lay_down(1)", ["lay_down"]),
        ("_lay_down_all", []),
        ("A known place.", ["known place"]),
    ],
)
def test_words_are_matched_whole(line: str, found: list[str]) -> None:
    """A word matches in its exact case, never inside another word."""
    page = (
        "| term | meaning | retired words |\n|---|---|---|\n| worker | a server | `Door`, `lay_down`, `known place` |\n"
    )
    assert retired_words(page) == {"Door": "worker", "lay_down": "worker", "known place": "worker"}
    assert pattern_of(list(retired_words(page))).findall(line) == found
