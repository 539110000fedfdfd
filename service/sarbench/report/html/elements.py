"""HTML elements that the sections of the page share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sarbench.score.bootstrap import MeanInterval
from sarbench.score.coverage import Coverage
from sarbench.score.scorecard import Scorecard
from sarbench.score.tables import format_coverage

BASELINE_COLOR = 5


@dataclass(frozen=True)
class ScoredRun:
    """One run on the page. ``metadata`` holds its model, endpoint, data set, and start time.

    ``selection`` holds the limit, the seed, and the split of its texts.
    """

    name: str
    scorecard: Scorecard
    metadata: Sequence[str]
    selection: tuple[int | None, int | None, str | None]

    @property
    def label(self) -> str:
        """Name of the run on the page."""
        return f"{self.name}, blacked out" if self.scorecard.blackout else self.name


def table(header: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], *, text_columns: int = 1) -> str:
    """Return a table from HTML cells; each row has a CSS class. The first ``text_columns`` are left-aligned."""
    header_cells = _cells("th", header, text_columns)
    body = "".join(f'<tr class="{css_class}">{_cells("td", cells, text_columns)}</tr>' for css_class, cells in rows)
    return f'<div class="scroll"><table><thead><tr>{header_cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(tag: str, cells: Iterable[str], text_columns: int) -> str:
    classed = ((cell, ' class="words"' if column < text_columns else "") for column, cell in enumerate(cells))
    return "".join(f"<{tag}{css}>{cell}</{tag}>" for cell, css in classed)


def run_labels(runs: Sequence[ScoredRun]) -> list[str]:
    """Return the names of the runs, each with its color marker."""
    return [f'<span class="key c{color_index(index)}">{escape(run.label)}</span>' for index, run in enumerate(runs)]


def color_index(run_index: int) -> int:
    """Return the color index of a run. The last color is reserved for the baseline."""
    return run_index % BASELINE_COLOR


def mean_cell(mean: MeanInterval | None) -> str:
    """Format a mean and its interval in percent, or a dash for None."""
    if mean is None:
        return "-"
    return f"{100 * mean.mean:.1f}<small>{100 * mean.low:.1f} to {100 * mean.high:.1f}</small>"


def covered_mean_cell(run: ScoredRun, mean: MeanInterval | None, group: str) -> str:
    """Format a mean of a run's group as ``covered_cell``."""
    return covered_cell(mean, run.scorecard.coverage.get(group))


def covered_cell(mean: MeanInterval | None, coverage: Coverage | None) -> str:
    """Format a mean as ``mean_cell``, with the share of answered texts if some have no answer."""
    if mean is None or coverage is None or coverage.answered == coverage.texts:
        return mean_cell(mean)
    return f'{mean_cell(mean)}<small class="left-out">{format_coverage(coverage)} answered</small>'
