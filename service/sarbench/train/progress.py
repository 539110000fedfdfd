"""The record of a training: one JSON line per observation, and its curves as a picture."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

LOG = "log.jsonl"
CURVES = "curves.png"


class Progress:
    """Keeps ``log.jsonl`` in ``out``; observations later than step ``since`` are dropped, as they will come again."""

    def __init__(self, out: Path, since: int) -> None:
        self._out = out
        self._path = out / LOG
        if self._path.exists():
            kept = [line for line in observations(out) if line["step"] <= since]
            draft = self._path.with_name(f".{LOG}")
            draft.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            draft.replace(self._path)

    def note(self, **observation: Any) -> None:
        """Append one observation; it has a ``step``."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(observation) + "\n")


def observations(out: Path) -> list[dict[str, Any]]:
    """What was noted so far; a last line that was cut off is left out."""
    lines = (out / LOG).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def draw_curves(out: Path) -> None:
    """Draw loss and held-out accuracy by step into ``curves.png``."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only needed here

    noted = observations(out)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    lost = [line for line in noted if "loss" in line]
    for name in ("loss", "objects"):
        left.plot([line["step"] for line in lost], [line[name] for line in lost], label=name)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    shares: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in noted:
        for name, share in line.get("accuracy", {}).items():
            shares[name].append((line["step"], share))
    for name, points in sorted(shares.items()):
        right.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=3 if name == "overall" else 1.2)
    right.set(xlabel="step", ylabel="held-out answers exactly right", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(out / CURVES, dpi=110)
