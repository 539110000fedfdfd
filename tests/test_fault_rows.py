"""Load tests of failures: workers and callers fail in the ways that the rows name, and the gateway holds its bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

import fault_rows
import faults
import overload_rows
from comparison import Row, bench, compare

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_no_request_fails_while_two_of_four_workers_fail_in_turns() -> None:
    """Of 500 questions under all faults at once, none fails before a byte and no stream breaks."""
    results = faults.run("all", 500, 16, real=False)
    assert (dict(results.statuses), results.cut, results.failures) == ({200: 500}, 0, [])


@pytest.mark.slow
def test_rows_of_failing_workers() -> None:
    """A crash request visits two workers, and streams that begin or end with an error count as failed."""
    figures = {}
    for measure in (fault_rows.crash, fault_rows.error_first, fault_rows.error_midway):
        with bench(ROOT) as measured:
            figures[measure.__name__] = measure(measured)
    assert sorted(figures.pop("crash").split()) == ["0", "0", "1", "1"]
    assert figures == {"error_first": "20 with status 500", "error_midway": "0 of 20"}


@pytest.mark.slow
def test_rows_of_hostile_callers(capsys: pytest.CaptureFixture[str]) -> None:
    """A header flood is answered with 431; without a baseline, its figure stands alone."""
    compare([Row("flood", "status, growth", overload_rows.header_flood)], None)
    cells = capsys.readouterr().out.splitlines()[2].split()
    assert cells[-4:-2] == ["-", "431,"]
