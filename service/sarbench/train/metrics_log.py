"""Metrics of a training: a JSON Lines log, and a plot of its curves."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

LOG_FILE = "log.jsonl"
CURVES_FILE = "curves.png"


class MetricsLog:
    """Writer of ``log.jsonl`` in ``out``. Records after ``last_step`` are removed, because those steps run again."""

    def __init__(self, out: Path, last_step: int) -> None:
        self._out = out
        self._path = out / LOG_FILE
        if self._path.exists():
            records = [record for record in read_metrics(out) if record["step"] <= last_step]
            draft = self._path.with_name(f".{LOG_FILE}")
            draft.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
            draft.replace(self._path)

    def write(self, **metrics: Any) -> None:
        """Append one record, which has a ``step``."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """Return the records so far, without a truncated last line."""
    lines = (out / LOG_FILE).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def plot_curves(out: Path) -> None:
    """Plot losses and held-out accuracies by step into ``curves.png``."""
    from matplotlib.figure import Figure  # noqa: PLC0415  optional and slow to import

    records = read_metrics(out)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    loss_records = [record for record in records if "loss" in record]
    for name in ("loss", "objects"):
        steps = [record["step"] for record in loss_records]
        left.plot(steps, [record[name] for record in loss_records], label=name)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    accuracies: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for record in records:
        for name, accuracy in record.get("accuracy", {}).items():
            accuracies[name].append((record["step"], accuracy))
    for name, points in sorted(accuracies.items()):
        right.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=3 if name == "overall" else 1.2)
    right.set(xlabel="step", ylabel="exact-match accuracy, held out", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(out / CURVES_FILE, dpi=110)
