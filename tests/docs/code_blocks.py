"""Fenced code blocks of Markdown pages, and the expected output of console blocks and ``print`` calls."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples/README.md",
    ROOT / "service/sarbench/nano/MODEL_CARD.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUN = {"bash", "python", "console"}
DATA = {"json", "yaml", "toml", "ini"}
SHOWN = {"text", "promql", "mermaid", "proto", "html", "makefile"}
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[\w-]*)(?P<rest>.*)$")
_NO_TEST = re.compile(r"<!--\s*no-test\b:?\s*(.*?)\s*-->")
_PRINTED = re.compile(r"^\s*print\(.*\)  # (.+)$")


@dataclass(frozen=True)
class CodeBlock:
    """One fenced block."""

    page: Path
    line: int
    """Line of the opening fence."""
    language: str
    text: str
    no_test: str | None
    """Reason why the block isn't run, or None."""

    @property
    def name(self) -> str:
        """``page:line``, as a test report prints it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a console block, and the output that the page shows."""

    line: int
    text: str
    output: str


def read_blocks(page: Path) -> list[CodeBlock]:
    """Return the fenced blocks of one page."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[CodeBlock]:
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if not opening:
            number += 1
            continue
        first = number
        number += 1
        while number < len(lines) and lines[number].strip() != opening["ticks"]:
            number += 1
        assert number < len(lines), f"{page.name}:{first + 1}: the block doesn't end"
        before = _NO_TEST.search(lines[first - 1]) if first else None
        text = textwrap.dedent("\n".join(lines[first + 1 : number]))
        yield CodeBlock(page, first + 1, opening["language"], text, before[1] if before else None)
        number += 1


def read_commands(block: CodeBlock) -> list[Command]:
    """Split a console block at its ``$`` prompts. A command continues until its quotes and backslashes are complete."""
    commands: list[Command] = []
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, rest = lines[start][2:], lines[start + 1 : end]
        while rest and (text.endswith("\\") or not is_complete(text)):
            text += "\n" + rest.pop(0).removeprefix("> ")
        commands.append(Command(block.line + start + 1, text, "\n".join(rest)))
    return commands


def is_complete(command: str) -> bool:
    """Return whether bash parses ``command``."""
    return subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True, check=False).returncode == 0


def matches(expected: str, actual: str) -> bool:
    """Compare output. ``...`` matches any text within a line, and any number of lines if alone on a line."""
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ \t]*\n"
    return re.fullmatch(pattern, actual.strip("\n").replace("\r", "") + "\n" if actual.strip() else "") is not None


def printed_comments(block: CodeBlock) -> list[str]:
    """Return the outputs that a Python block names in comments: ``print(count)  # 2``."""
    return [match[1] for line in block.text.splitlines() if (match := _PRINTED.match(line))]


def missing_output(expected: list[str], actual: str) -> list[str]:
    """Return the expected lines that aren't in ``actual`` in this order."""
    lines = iter(actual.splitlines())
    return [line for line in expected if not any(matches(line, found) for found in lines)]
