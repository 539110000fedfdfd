"""Figures of this checkout and of another one, the baseline: one row for each failure."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import HERE, Start, print_machine, sarlens, starter
from sarlens.runtime.child_process import ManagedProcess
from zipf_clients import Fleet


@dataclass(frozen=True)
class Bench:
    """Processes of one measurement."""

    start: Start
    state: Path
    checkout: Path
    """The checkout whose gateway is measured."""

    def workers(self, count: int, *options: str) -> Fleet:
        """Start mock workers."""
        fleet = Fleet()
        for _ in range(count):
            fleet.add(self.start, *options)
        return fleet

    def gateway(self, fleet: Fleet, settings: Mapping[str, str] | None = None) -> tuple[str, ManagedProcess]:
        """Start the gateway of the checkout in front of workers."""
        path = {"PYTHONPATH": str(self.checkout.resolve() / "service")}
        return sarlens(self.start, fleet.urls, {**(settings or {}), **path})


@dataclass(frozen=True)
class Row:
    """A failure and the figure that shows its effect."""

    name: str
    figure: str
    """The meaning of the figure."""
    measure: Callable[[Bench], str]


@contextmanager
def bench(checkout: Path) -> Iterator[Bench]:
    """Yield a bench whose processes end with the context."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield Bench(starter(stack, state), state, checkout)


def compare(rows: list[Row], baseline: Path | None) -> None:
    """Measure each row with the gateway of the baseline and of this checkout, and print the figures."""
    print_machine()
    print(f"{'failure: figure':78}{'before':>22}{'after':>22}")
    for row in rows:
        figures = ["-"] if baseline is None else []
        for checkout in (baseline, HERE.parent):
            if checkout is not None:
                with bench(checkout) as measured:
                    figures.append(row.measure(measured))
        print(f"{row.name + ': ' + row.figure:78}{figures[0]:>22}{figures[1]:>22}", flush=True)
