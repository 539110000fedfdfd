"""The page's plots, drawn as SVG by hand; colours and type come from the page's style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from sarbench.score.bootstrap import Mean

WIDTH = 344
LABEL = 124
VALUE = 46
ROW = 26
CELL = 26
TICKS = (0, 25, 50, 75, 100)


class Bar(NamedTuple):
    """One line of a chart: its name, its mean of 0 to 1, and the number of the page colour it is drawn in."""

    name: str
    mean: Mean
    colour: int


def whiskers(title: str, bars: Sequence[Bar]) -> str:
    """A dot for each mean over its 95 % interval, on an axis from 0 to 100 %."""
    bottom = ROW * len(bars) + 8
    lines = [
        f'<line class="grid" x1="{_x(tick)}" x2="{_x(tick)}" y1="4" y2="{bottom}"/>'
        f'<text class="tick" x="{_x(tick)}" y="{bottom + 14}">{tick}</text>'
        for tick in TICKS
    ]
    for row, bar in enumerate(bars):
        y = ROW * row + ROW / 2 + 4
        low, mean, high = (100 * part for part in (bar.mean.low, bar.mean.mean, bar.mean.high))
        name = escape(_short(bar.name))
        lines.append(
            f'<g class="c{bar.colour}"><text class="name" x="{LABEL - 12}" y="{y + 4}">{name}</text>'
            f'<line class="range" x1="{_x(low)}" x2="{_x(high)}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{_x(mean)}" cy="{y}" r="5"><title>{escape(bar.name)}: {mean:.1f} % of {bar.mean.n:,}</title>'
            f'</circle><text class="value" x="{WIDTH}" y="{y + 4}">{mean:.1f}</text></g>'
        )
    return _svg(title, WIDTH, bottom + 20, lines)


def heatmap(title: str, pairs: Mapping[tuple[int, int | None], int], highest: int) -> str:
    """How often each true count (row) was answered with each count (column); the last column is anything else."""
    rows = sorted({truth for truth, _ in pairs})
    totals: Counter[int] = Counter()
    for (truth, _), count in pairs.items():
        totals[truth] += count
    columns: list[int | None] = [*range(highest + 1), None]
    left, top = 58, 34
    lines = [f'<text class="tick" x="{left + len(columns) * CELL / 2}" y="10">answered</text>']
    for place, said in enumerate(columns):
        name = "else" if said is None else said
        lines.append(f'<text class="tick" x="{left + (place + 0.5) * CELL}" y="{top - 8}">{name}</text>')
    for row, truth in enumerate(rows):
        y = top + row * CELL
        lines.append(f'<text class="name" x="{left - 8}" y="{y + CELL / 2 + 4}">{truth}</text>')
        for place, said in enumerate(columns):
            count = pairs.get((truth, said), 0)
            lines.append(_cell(left + place * CELL, y, count, totals[truth], on_diagonal=truth == said))
    middle = top + len(rows) * CELL / 2
    lines.append(f'<text class="tick" transform="translate(12 {middle}) rotate(-90)">true count</text>')
    return _svg(title, left + len(columns) * CELL + 2, top + len(rows) * CELL + 4, lines)


def histogram(title: str, values: Sequence[float], top: float, bins: int = 20) -> str:
    """How many values fall into each of ``bins`` equal steps from 0 to ``top``."""
    counts = Counter(min(int(bins * value / top), bins - 1) for value in values)
    height, step = 120, WIDTH / bins
    highest = max(counts.values(), default=1)
    lines = [
        f'<rect class="bar" x="{place * step + 1:.1f}" y="{height - height * counts[place] / highest:.1f}" '
        f'width="{step - 2:.1f}" height="{height * counts[place] / highest:.1f}">'
        f"<title>{counts[place]:,} captions</title></rect>"
        for place in range(bins)
    ]
    lines.append(f'<line class="grid" x1="0" x2="{WIDTH}" y1="{height}" y2="{height}"/>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = f'x="{share * WIDTH}" y="{height + 14}" style="text-anchor:{anchor}"'
        lines.append(f'<text class="tick" {at}>{share * top:g}</text>')
    return _svg(title, WIDTH, height + 20, lines)


def _cell(x: float, y: float, count: int, total: int, *, on_diagonal: bool) -> str:
    share = count / total
    kind = "cell right" if on_diagonal else "cell"
    box = f'<rect class="{kind}" x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="3"'
    tone = f' style="fill-opacity:{0.06 + 0.94 * share if count else 0.06:.2f}"/>'
    if not count:
        return box + tone
    strong = " strong" if share > 0.5 else ""
    return f'{box}{tone}<text class="count{strong}" x="{x + CELL / 2}" y="{y + CELL / 2 + 4}">{count}</text>'


def _x(percent: float) -> float:
    return round(LABEL + (WIDTH - LABEL - VALUE) * percent / 100, 1)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _svg(title: str, width: float, height: float, lines: Sequence[str]) -> str:
    inside = "".join(lines)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img" '
        f'aria-label="{escape(title)}">{inside}</svg>'
    )
