"""What callers notice while one worker of four fails in one way or another: ten thousand questions for each.

Half of the questions stream. The fault begins when a quarter has been asked and lasts to the end.

    .venv/bin/python loadtests/faults.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from crowd import Fleet, ask_each, zipf
from sarbench.nano.checkpoint import write_trained
from sarlens.child import Child
from stand import ready, sarlens, starter

FAULTS = ("none", "kill -9", "hang", "error", "reset", "truncate", "forget")


def begin(fault: str, url: str, process: Child) -> None:
    """Make one worker fail."""
    if fault == "kill -9":
        os.killpg(process.pid, signal.SIGKILL)
    elif fault != "none":
        urllib.request.urlopen(urllib.request.Request(f"{url}/fault", fault.encode(), method="POST")).close()


def main() -> None:
    """Run each fault, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="questions for each fault")
    parser.add_argument("--callers", type=int, default=64, help="questions at the same time")
    parser.add_argument("--faults", nargs="*", default=FAULTS, choices=FAULTS)
    parser.add_argument("--real", action="store_true", help="two real vLLM workers, of which one is killed")
    given = parser.parse_args()
    faults = ("none", "kill -9") if given.real else given.faults
    patience = {"SARLENS_WORKER__FIRST_TOKEN_S": "1", "SARLENS_WORKER__ANSWER_S": "1"} if not given.real else {}
    print(f"{'fault':10}{'asked':>8}{'answered':>10}{'failed before a byte':>22}{'cut midway':>12}{'slowest, s':>12}")
    for fault in faults:
        with ExitStack() as stack:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            start = starter(stack, state)
            fleet = Fleet()
            if given.real:
                write_trained(state / "sarlens-nano")
            for _ in range(2 if given.real else 4):
                fleet.add_real(start, state / "sarlens-nano") if given.real else fleet.add(start)
            url, process = sarlens(start, fleet.urls, patience)
            asyncio.run(ready(f"{url}/readyz", process))
            midway = partial(begin, fault, fleet.urls[0], fleet.processes[0])
            numbers = zipf(given.requests, 500)
            told = asyncio.run(ask_each(url, numbers, callers=given.callers, streams=True, midway=midway))
        failed = sum(count for status, count in told.statuses.items() if status != 200)
        slowest = max(seconds for _, seconds in told.seconds)
        answered = told.statuses[200] - told.cut
        print(f"{fault:10}{given.requests:>8}{answered:>10}{failed:>22}{told.cut:>12}{slowest:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
