"""What callers notice while one worker of four, or S3, fails in one way or another: ten thousand questions for each.

Half of the questions stream. A worker's fault begins when a quarter has been asked and lasts to the end. S3's lasts
from the start: every third connection is slow, is closed at once, or breaks amid the answer.

    .venv/bin/python loadtests/faults.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from crowd import Fleet, Told, ask_each, picture, png, zipf
from sarbench.nano.checkpoint import write_trained
from sarlens.child import Child
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command
from stand import HERE, Start, sarlens, starter

FAULTS = ("none", "kill -9", "hang", "error", "reset", "truncate", "forget", "s3 slow", "s3 refuse", "s3 reset")
PICTURES = 500
PATIENCE = {"SARLENS_WORKER__FIRST_TOKEN_S": "1", "SARLENS_WORKER__ANSWER_S": "1"}


def begin(fault: str, url: str, process: Child) -> None:
    """Make one worker fail."""
    if fault == "kill -9":
        os.killpg(process.pid, signal.SIGKILL)
    elif fault != "none":
        urllib.request.urlopen(urllib.request.Request(f"{url}/fault", fault.encode(), method="POST")).close()


def failing_s3(start: Start, state: Path, fault: str) -> str:
    """An S3 server with the pictures, behind a wire with a fault; its URL."""
    os.environ.update(KEYS)
    server, wire = free_port(), free_port()
    (state / "pictures").mkdir()
    for number in range(PICTURES):
        (state / "pictures" / f"{number}.png").write_bytes(png(number))
    s3 = start("s3", s3_command(state / "s3", server), {})
    fill_bucket(s3, f"http://127.0.0.1:{server}", state / "pictures")
    start("wire", [sys.executable, str(HERE / "wire.py"), str(wire), str(server), fault], {})
    return f"http://127.0.0.1:{wire}"


def run(fault: str, requests: int, callers: int, *, real: bool) -> Told:
    """What callers are told under a fault."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        fleet = Fleet()
        if real:
            write_trained(state / "sarlens-nano")
        for _ in range(2 if real else 4):
            fleet.add_real(start, state / "sarlens-nano") if real else fleet.add(start)
        settings: dict[str, str] = {} if real else dict(PATIENCE)
        image: Callable[[int], str] = picture
        midway = partial(begin, fault, fleet.urls[0], fleet.processes[0])
        if fault.startswith("s3 "):
            settings["SARLENS_S3__ENDPOINT"] = failing_s3(start, state, fault.removeprefix("s3 "))
            image, midway = "s3://scenes/{}.png".format, partial(begin, "none", "", fleet.processes[0])
        url, _ = sarlens(start, fleet.urls, {**settings, **KEYS})
        numbers = zipf(requests, PICTURES)
        return asyncio.run(ask_each(url, numbers, callers=callers, streams=True, midway=midway, image=image))


def main() -> None:
    """Run each fault, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="questions for each fault")
    parser.add_argument("--callers", type=int, default=64, help="questions at the same time")
    parser.add_argument("--faults", nargs="*", default=FAULTS, choices=FAULTS)
    parser.add_argument("--real", action="store_true", help="two real vLLM workers, of which one is killed")
    given = parser.parse_args()
    faults = ("none", "kill -9") if given.real else given.faults
    print(f"{'fault':10}{'asked':>8}{'answered':>10}{'failed before a byte':>22}{'cut midway':>12}{'slowest, s':>12}")
    for fault in faults:
        told = run(fault, given.requests, given.callers, real=given.real)
        failed = sum(count for status, count in told.statuses.items() if status != 200)
        slowest = max(seconds for _, seconds in told.seconds)
        answered = told.statuses[200] - told.cut
        print(f"{fault:10}{given.requests:>8}{answered:>10}{failed:>22}{told.cut:>12}{slowest:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
