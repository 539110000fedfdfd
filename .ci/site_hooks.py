"""Hooks of the documentation site: the list of decisions, and links to files of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DECISIONS = "explanation/decisions/"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Replace the folder of decision records in ``nav`` by its pages, sorted by number."""
    pages = [page.relative_to(DOCS).as_posix() for page in sorted((DOCS / DECISIONS).glob("*.md"))]
    config.nav = _replaced(config.nav, pages)
    return config


def _replaced(entry: Any, pages: list[str]) -> Any:
    if isinstance(entry, list):
        return [_replaced(item, pages) for item in entry]
    if isinstance(entry, dict):
        return {title: _replaced(value, pages) for title, value in entry.items()}
    return pages if entry == DECISIONS else entry


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Print links to files outside ``docs/`` as their path in the repository."""
    folder = (DOCS / page.file.src_uri).parent

    def outside(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if target.is_relative_to(DOCS) or not (target.exists() and target.is_relative_to(ROOT)):
            return link[0]
        path = f"`{target.relative_to(ROOT)}`"
        return path if link[1].strip("`") == path.strip("`") else f"{link[1]} ({path})"

    return _LINK.sub(outside, markdown)
