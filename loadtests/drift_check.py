"""Check of a soak test for drift: the slope of each sampled column, compared with a fixed bound.

The slope is the Theil-Sen estimator: the median of the slopes between all pairs of minutes, robust against outliers.
The first sixth of the minutes is ignored, because caches fill during it.

    .venv/bin/python loadtests/drift_check.py load/soak.csv load/soak.png    # check and plot an earlier soak
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from scipy.stats import theilslopes

Minute = Mapping[str, float]

BOUNDS: Mapping[str, float] = MappingProxyType(
    {"rss_mb": 0.05, "fds": 0.05, "threads": 0.05, "p50_ms": 0.1, "p99_ms": 0.2}
)
"""Maximum growth of each column over the checked minutes, as a fraction of its median."""
SETTLING = 1 / 6
"""Fraction of the minutes that is ignored."""
_PANELS = (
    ("memory of the gateway, MB", ("rss_mb",)),
    ("file descriptors and threads of the gateway", ("fds", "threads")),
    ("latency, ms", ("p50_ms", "p99_ms")),
    ("requests in the minute; core in use, %", ("answered", "core_busy_pct")),
)


def growth(minutes: Sequence[Minute], name: str) -> float:
    """Return the fitted growth of a column from the first to the last minute, as a fraction of its median."""
    values = [minute[name] for minute in minutes]
    slope, *_ = theilslopes(values, [minute["minute"] for minute in minutes])
    middle = statistics.median(values)
    return float(slope) * (minutes[-1]["minute"] - minutes[0]["minute"]) / middle if middle else 0.0


def judge(minutes: Sequence[Minute]) -> tuple[list[str], bool]:
    """Return a line on the drift of each column, and whether every column is flat and no request failed."""
    kept = minutes[int(len(minutes) * SETTLING) :]
    if len(kept) < 2:
        return ["too short to judge"], False
    lines, flat = [], True
    for name, bound in BOUNDS.items():
        grown, values = growth(kept, name), [minute[name] for minute in kept]
        within = grown <= bound
        flat &= within
        lines.append(
            f"{name:8} {values[0]:>9.1f} to {values[-1]:>9.1f}, range {min(values):.1f} to {max(values):.1f}; "
            f"by its fit {grown:+.1%} over {len(kept)} rows, bound {bound:+.0%}: {'flat' if within else 'NOT FLAT'}"
        )
    failed, requests = (int(sum(minute[name] for minute in minutes)) for name in ("failed", "asked"))
    lines.append(f"failed   {failed} of {requests}")
    return lines, flat and not failed


def draw(minutes: Sequence[Minute], picture: Path) -> None:
    """Plot every column by time."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow to import, and only needed here

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for name in names:
            axes.plot([minute["minute"] for minute in minutes], [minute[name] for minute in minutes], label=name)
        axes.set(title=title, xlabel="minute", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


def read(table: Path) -> list[Minute]:
    """Read the minutes of a CSV file that ``soak.py`` wrote."""
    with table.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def main() -> int:
    """Check and plot a soak; return 0 if every column is flat."""
    minutes = read(Path(sys.argv[1]))
    draw(minutes, Path(sys.argv[2]))
    lines, flat = judge(minutes)
    print("\n".join(lines))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
