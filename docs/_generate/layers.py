"""Drawing of the import layers, from the contracts in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- layers, written by docs/generate.py -->", "<!-- end of layers -->"


def with_layers(page: str, pyproject: Path) -> str:
    """Return a page with the drawing between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    drawings = [_drawing(contract) for contract in contracts if contract["type"] == "layers"]
    return "\n".join([f"{before}{BEGIN}", "", *drawings, f"{END}{after}"])


def _drawing(contract: dict[str, Any]) -> str:
    """Return one contract as a Mermaid flow chart: a box for each layer, an arrow to the layer below it."""
    container, layers = contract["containers"][0], contract["layers"]
    return "\n".join([f"`{container}`, {len(layers)} layers:\n", "```mermaid", *_lines(layers), "```", ""])


def _lines(layers: list[str]) -> Iterator[str]:
    yield "flowchart TD"
    for number, layer in enumerate(layers):
        siblings = " · ".join(re.findall(r"\w+", layer))
        arrow = f" --> L{number + 1}" if number + 1 < len(layers) else ""
        yield f'    L{number}["{siblings}"]{arrow}'
