"""Charts of the page as SVG. Colors and fonts come from the stylesheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from sarbench.score.bootstrap import MeanInterval
from sarbench.score.calibration import ReliabilityBin

CHART_WIDTH = 344
LABEL_WIDTH = 124
VALUE_WIDTH = 46
ROW_HEIGHT = 26
CELL_SIDE = 26
TICKS = (0, 25, 50, 75, 100)


class Interval(NamedTuple):
    """One row of an interval chart: name, mean (0 to 1), and color index."""

    name: str
    mean: MeanInterval
    color: int


def interval_chart(title: str, intervals: Sequence[Interval]) -> str:
    """Return a chart with a dot for each mean and a bar for its 95 % interval, on an axis from 0 to 100 %."""
    bottom = ROW_HEIGHT * len(intervals) + 8
    lines = [
        f'<line class="grid" x1="{_x_of_percent(tick)}" x2="{_x_of_percent(tick)}" y1="4" y2="{bottom}"/>'
        f'<text class="tick" x="{_x_of_percent(tick)}" y="{bottom + 14}">{tick}</text>'
        for tick in TICKS
    ]
    for row, interval in enumerate(intervals):
        y = ROW_HEIGHT * row + ROW_HEIGHT / 2 + 4
        low, mean, high = (100 * value for value in (interval.mean.low, interval.mean.mean, interval.mean.high))
        name = escape(_shorten(interval.name))
        lines.append(
            f'<g class="c{interval.color}"><text class="name" x="{LABEL_WIDTH - 12}" y="{y + 4}">{name}</text>'
            f'<line class="range" x1="{_x_of_percent(low)}" x2="{_x_of_percent(high)}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{_x_of_percent(mean)}" cy="{y}" r="5">'
            f"<title>{escape(interval.name)}: {mean:.1f} % of {interval.mean.n:,}</title>"
            f'</circle><text class="value" x="{CHART_WIDTH}" y="{y + 4}">{mean:.1f}</text></g>'
        )
    return _svg(title, CHART_WIDTH, bottom + 20, lines)


def heatmap(title: str, pairs: Mapping[tuple[int, int | None], int], highest: int) -> str:
    """Return how often each true count (row) got each count (column). The last column holds other answers."""
    rows = sorted({truth for truth, _ in pairs})
    totals: Counter[int] = Counter()
    for (truth, _), count in pairs.items():
        totals[truth] += count
    columns: list[int | None] = [*range(highest + 1), None]
    left, top = 58, 34
    lines = [f'<text class="tick" x="{left + len(columns) * CELL_SIDE / 2}" y="10">answered</text>']
    for column, predicted in enumerate(columns):
        name = "other" if predicted is None else predicted
        lines.append(f'<text class="tick" x="{left + (column + 0.5) * CELL_SIDE}" y="{top - 8}">{name}</text>')
    for row, truth in enumerate(rows):
        y = top + row * CELL_SIDE
        lines.append(f'<text class="name" x="{left - 8}" y="{y + CELL_SIDE / 2 + 4}">{truth}</text>')
        for column, predicted in enumerate(columns):
            count = pairs.get((truth, predicted), 0)
            lines.append(
                _heatmap_cell(left + column * CELL_SIDE, y, count, totals[truth], on_diagonal=truth == predicted)
            )
    center = top + len(rows) * CELL_SIDE / 2
    lines.append(f'<text class="tick" transform="translate(12 {center}) rotate(-90)">true count</text>')
    return _svg(title, left + len(columns) * CELL_SIDE + 2, top + len(rows) * CELL_SIDE + 4, lines)


def histogram(title: str, values: Sequence[float], top: float, bins: int = 20) -> str:
    """Return the number of values in each of ``bins`` equal intervals from 0 to ``top``."""
    counts = Counter(min(int(bins * value / top), bins - 1) for value in values)
    height, step = 120, CHART_WIDTH / bins
    highest = max(counts.values(), default=1)
    lines = [
        f'<rect class="bar" x="{bin_index * step + 1:.1f}" y="{height - height * counts[bin_index] / highest:.1f}" '
        f'width="{step - 2:.1f}" height="{height * counts[bin_index] / highest:.1f}">'
        f"<title>{counts[bin_index]:,} captions</title></rect>"
        for bin_index in range(bins)
    ]
    lines.append(f'<line class="grid" x1="0" x2="{CHART_WIDTH}" y1="{height}" y2="{height}"/>')
    for fraction, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        position = f'x="{fraction * CHART_WIDTH}" y="{height + 14}" style="text-anchor:{anchor}"'
        lines.append(f'<text class="tick" {position}>{fraction * top:g}</text>')
    return _svg(title, CHART_WIDTH, height + 20, lines)


def reliability_plot(title: str, bins: Sequence[ReliabilityBin]) -> str:
    """Return accuracy against confidence, both 0 to 1, with a diagonal for perfect calibration."""
    side, left = 240, 34

    def point(confidence: float, accuracy: float) -> tuple[str, str]:
        return f"{left + side * confidence:.1f}", f"{4 + side * (1 - accuracy):.1f}"

    (x1, y1), (x2, y2) = point(0, 0), point(1, 1)
    lines = [f'<line class="grid" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>']
    for tick in TICKS:
        x, y = point(tick / 100, tick / 100)
        lines.append(f'<text class="tick" x="{x}" y="{side + 20}">{tick}</text>')
        lines.append(f'<text class="name" x="{left - 6}" y="{y}">{tick}</text>')
    for part in bins:
        x, y = point(part.confidence, part.accuracy)
        note = f"{100 * part.accuracy:.1f} % right at {100 * part.confidence:.1f} % confidence, {part.n:,} answers"
        lines.append(f'<circle class="c0" cx="{x}" cy="{y}" r="5"><title>{note}</title></circle>')
    lines.append(
        f'<text class="tick" x="{left + side / 2}" y="{side + 36}">confidence, % (accuracy, % at the left)</text>'
    )
    return _svg(title, left + side + 12, side + 42, lines)


def _heatmap_cell(x: float, y: float, count: int, total: int, *, on_diagonal: bool) -> str:
    fraction = count / total
    css_class = "cell right" if on_diagonal else "cell"
    box = f'<rect class="{css_class}" x="{x + 1}" y="{y + 1}" width="{CELL_SIDE - 2}" height="{CELL_SIDE - 2}" rx="3"'
    opacity = f' style="fill-opacity:{0.06 + 0.94 * fraction if count else 0.06:.2f}"/>'
    if not count:
        return box + opacity
    strong = " strong" if fraction > 0.5 else ""
    return (
        f'{box}{opacity}<text class="count{strong}" x="{x + CELL_SIDE / 2}" y="{y + CELL_SIDE / 2 + 4}">{count}</text>'
    )


def _x_of_percent(percent: float) -> float:
    return round(LABEL_WIDTH + (CHART_WIDTH - LABEL_WIDTH - VALUE_WIDTH) * percent / 100, 1)


def _shorten(name: str) -> str:
    return name if len(name) <= 15 else f"{name[:14]}…"


def _svg(title: str, width: float, height: float, lines: Sequence[str]) -> str:
    body = "".join(lines)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )
