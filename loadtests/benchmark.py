"""CPU time of the gateway's hot paths, next to the committed baseline; fails if one has become dearer by over 20 %.

The unit of code in this process is a fixed loop of Python and NumPy (``calibration.py``), which runs before and after
each sample. That of requests is the CPU time of the stub worker that answers them. A slower or busier machine changes
both. A row that loses is measured twice more, and its lowest median counts.

    make bench             # three minutes
    make bench-baseline    # the same, and writes loadtests/benchmark_baseline.json
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmark_rows import Row, Sample, start_rows
from harness import flags, machine, print_machine, spread

BASELINE = Path(__file__).with_name("benchmark_baseline.json")
MAX_LOSS, MAX_LOSS_ELSEWHERE = 0.2, 1.0
"""Growth of a median that fails the run, on the baseline's kind of processor and on another one."""
_REPEATS = 2


Samples = Sequence[Sample]


class Baseline(NamedTuple):
    """Figures of an earlier commit."""

    machine: str
    flags: str
    ratios: Mapping[str, tuple[float, float, float]]
    """Median, minimum and maximum of each row's ratio to its unit."""

    @classmethod
    def of(cls, samples: Mapping[str, Samples]) -> Baseline:
        """Return the figures of samples on this machine."""
        ratios = {name: [sample.ratio for sample in row] for name, row in samples.items()}
        figures = {name: (statistics.median(row), min(row), max(row)) for name, row in ratios.items()}
        return cls(machine(), flags(), figures)

    @classmethod
    def read(cls, file: Path) -> Baseline:
        """Read a baseline."""
        return cls(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        """Write the baseline, with five digits of each figure."""
        ratios = {name: [float(f"{value:.5g}") for value in row] for name, row in self.ratios.items()}
        text = json.dumps({**self._asdict(), "ratios": ratios}, indent=1, ensure_ascii=False)
        file.write_text(f"{text}\n")

    def max_loss(self, row: Row) -> float:
        """Return the growth that fails a row; infinity for vector code on a processor with other flags."""
        if self.machine == machine():
            return MAX_LOSS
        return MAX_LOSS_ELSEWHERE if self.flags == flags() or not row.uses_vectors else math.inf

    def growth(self, row: Row, samples: Samples) -> float:
        """Return the growth of a row's median, as a fraction of the median here."""
        return median_ratio(samples) / self.ratios[row.name][0] - 1

    def loses(self, row: Row, samples: Samples) -> bool:
        """Whether a row has become dearer by more than ``max_loss``."""
        return row.name in self.ratios and self.growth(row, samples) > self.max_loss(row)


def median_ratio(samples: Samples) -> float:
    """Return the median of the ratios to the unit."""
    return statistics.median(sample.ratio for sample in samples)


def measure(rows: Sequence[Row], rounds: int) -> dict[str, Samples]:
    """Take a sample of every row once a round, in alternating order; round 0 warms up."""
    samples: dict[str, list[Sample]] = {row.name: [] for row in rows}
    for number in range(rounds + 1):
        for row in reversed(rows) if number % 2 else rows:
            sample = row.sample()
            samples[row.name] += [sample] if number else []
        print(f"round {number} of {rounds} done", file=sys.stderr)
    return dict(samples)


def measure_with_repeats(rows: Sequence[Row], rounds: int, baseline: Baseline) -> dict[str, Samples]:
    """Measure all rows, and those that lose twice more; return the samples with the lowest median of each row."""
    best = measure(rows, rounds)
    for _ in range(_REPEATS):
        losing = [row for row in rows if baseline.loses(row, best[row.name])]
        if losing:
            print(f"again: {', '.join(row.name for row in losing)}", file=sys.stderr)
            again = measure(losing, rounds)
            best |= {name: min(best[name], samples, key=median_ratio) for name, samples in again.items()}
    return best


def table(rows: Sequence[Row], samples: Mapping[str, Samples], baseline: Baseline) -> list[str]:
    """Return the lines of the table: CPU time of each row, its ratio to the unit, and the change of that."""
    lines = [f"{'':28}{'CPU ms':32}{'in units':34}{'baseline':34}  change   limit"]
    for row in rows:
        measured = samples[row.name]
        cells = f"{spread([sample.cost_ms for sample in measured], '.4f'):32}"
        cells += f"{spread([sample.ratio for sample in measured], '.5f'):34}"
        if row.name not in baseline.ratios:
            cells += f"{'none':>8}"
        else:
            cells += f"{spread(baseline.ratios[row.name], '.5f'):34}{baseline.growth(row, measured):+8.0%}"
            cells += f"{baseline.max_loss(row):+8.0%}{' LOSS' if baseline.loses(row, measured) else ''}"
        lines.append(f"{row.name:28}{cells}")
    return lines


def failures(rows: Sequence[Row], samples: Mapping[str, Samples], baseline: Baseline) -> list[str]:
    """Return the reasons why a run fails: rows that lose, and rows of the baseline that aren't measured."""
    found = [
        f"{row.name}: {baseline.growth(row, samples[row.name]):.0%} dearer than the baseline, the limit is "
        f"{baseline.max_loss(row):.0%}"
        for row in rows
        if baseline.loses(row, samples[row.name])
    ]
    gone = sorted(baseline.ratios.keys() - {row.name for row in rows})
    return found + [f"{name}: in the baseline, but not measured" for name in gone]


def main() -> int:
    """Measure, print the table, and return 1 if a row loses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--write", action="store_true", help="write the baseline, and don't compare")
    args = parser.parse_args()
    baseline = Baseline.of({}) if args.write else Baseline.read(args.baseline)
    with ExitStack() as stack:
        rows = start_rows(stack)
        samples = measure_with_repeats(rows, args.rounds, baseline)
    print_machine()
    print(f"Baseline: {baseline.machine}")
    print("\n".join(table(rows, samples, baseline)))
    if args.write:
        Baseline.of(samples).write(args.baseline)
    found = failures(rows, samples, baseline)
    print("\n".join(f"FAILED {reason}" for reason in found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
