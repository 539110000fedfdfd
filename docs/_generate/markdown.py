"""Markdown tables and example blocks."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, followed by a blank line. A vertical bar in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    cells = (" | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) for line in lines)
    return "\n".join(f"| {row} |" for row in cells) + "\n"


def example_block(example: dict[str, str]) -> str:
    """Return the fenced block of a stored example, with the reason if tests don't run it."""
    language = "console" if "console" in example else "bash"
    mark = f"<!-- no-test: {example['reason']} -->\n" if "reason" in example else ""
    return f"{mark}```{language}\n{example[language].strip()}\n```\n"
