"""Whether a soak stayed flat: slopes of what was sampled each minute, against bounds that stand here beforehand.

A slope is Theil and Sen's, the median of the slopes between all pairs of minutes, which a few odd ones do not move. The
first sixth of the minutes, in which caches fill, is left out.

    .venv/bin/python loadtests/flatness.py load/soak.csv load/soak.png    # judge and draw a soak once more
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
"""How much each may grow in the time that is judged, as a part of its median."""
SETTLING = 1 / 6
_PANELS = (
    ("memory of the gateway, MB", ("rss_mb",)),
    ("file descriptors and threads of the gateway", ("fds", "threads")),
    ("latency, ms", ("p50_ms", "p99_ms")),
    ("requests in the minute; core in use, %", ("answered", "core_busy_pct")),
)


def growth(minutes: Sequence[Minute], name: str) -> float:
    """How much a column grows from the first to the last of some minutes by its fit, as a part of its median."""
    values = [minute[name] for minute in minutes]
    slope, *_ = theilslopes(values, [minute["minute"] for minute in minutes])
    middle = statistics.median(values)
    return float(slope) * (minutes[-1]["minute"] - minutes[0]["minute"]) / middle if middle else 0.0


def judge(minutes: Sequence[Minute]) -> tuple[list[str], bool]:
    """Lines that say how each column moved, and whether all is flat and nothing failed."""
    kept = minutes[int(len(minutes) * SETTLING) :]
    if len(kept) < 2:
        return ["too short to judge"], False
    lines, flat = [], True
    for name, bound in BOUNDS.items():
        grown, values = growth(kept, name), [minute[name] for minute in kept]
        well = grown <= bound
        flat &= well
        lines.append(
            f"{name:8} {values[0]:>9.1f} to {values[-1]:>9.1f}, range {min(values):.1f} to {max(values):.1f}; "
            f"by its fit {grown:+.1%} over {len(kept)} rows, bound {bound:+.0%}: {'flat' if well else 'NOT FLAT'}"
        )
    failed, asked = (int(sum(minute[name] for minute in minutes)) for name in ("failed", "asked"))
    lines.append(f"failed   {failed} of {asked}")
    return lines, flat and not failed


def draw(minutes: Sequence[Minute], picture: Path) -> None:
    """Draw every column by time."""
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
    """The minutes of a CSV that ``soak.py`` wrote."""
    with table.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def main() -> int:
    """Judge, draw; 0 where all is flat."""
    minutes = read(Path(sys.argv[1]))
    draw(minutes, Path(sys.argv[2]))
    lines, flat = judge(minutes)
    print("\n".join(lines))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
