"""The parts that every section of the page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sarbench.score.board import Board
from sarbench.score.bootstrap import Mean

BASELINE_COLOUR = 5


@dataclass(frozen=True)
class Scored:
    """One run as the page tells of it; ``about`` are its model, endpoint, data and when it began."""

    name: str
    board: Board
    about: Sequence[str]

    @property
    def label(self) -> str:
        """The run's name on the page."""
        return f"{self.name}, blacked out" if self.board.blackout else self.name


def table(head: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], *, words: int = 1) -> str:
    """``head`` and cells are HTML; each row comes with its class. The first ``words`` columns hold no numbers."""
    heads = _cells("th", head, words)
    body = "".join(f'<tr class="{kind}">{_cells("td", cells, words)}</tr>' for kind, cells in rows)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(tag: str, cells: Iterable[str], words: int) -> str:
    marked = ((cell, ' class="words"' if place < words else "") for place, cell in enumerate(cells))
    return "".join(f"<{tag}{mark}>{cell}</{tag}>" for cell, mark in marked)


def keys(runs: Sequence[Scored]) -> list[str]:
    """The runs' names, each with its dot of colour."""
    return [f'<span class="key c{colour_of(place)}">{escape(run.label)}</span>' for place, run in enumerate(runs)]


def colour_of(place: int) -> int:
    """The page colour of the run at a place; the last colour is the baseline's."""
    return place % BASELINE_COLOUR


def cell(mean: Mean | None) -> str:
    """A mean times 100 over its interval."""
    if mean is None:
        return "-"
    return f"{100 * mean.mean:.1f}<small>{100 * mean.low:.1f} to {100 * mean.high:.1f}</small>"
