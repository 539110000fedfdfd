"""Failed and slow requests while one of four workers or the S3 server fails: ten thousand questions per fault.

Half of the questions stream. A worker's fault begins after a quarter of the requests and lasts to the end. A fault of
S3 lasts from the start: every third connection is slow, is closed at once, or breaks in the middle of the response.

In the row "all", two of four workers fail from the start to the end. One fails in the ways of ``PROCESSED`` in turns,
and a proxy in front of it refuses connections for 0.5 s of every 2 s. The other rejects requests before it processes
them, or is slow.

With --baseline, the rows of ``fault_rows.py`` follow, which compare the gateway with that of another checkout.

    .venv/bin/python loadtests/faults.py
    .venv/bin/python loadtests/faults.py --faults all --requests 100000
    .venv/bin/python loadtests/faults.py --faults --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from comparison import compare
from fault_rows import ROWS
from harness import HERE, Start, print_machine, sarlens, starter
from sarbench.nano.checkpoint import write_trained
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from zipf_clients import Fleet, Results, ask_each, data_url, png, zipf

WORKER_FAULTS = ("hang", "error", "reset", "truncate", "evict")
FAULTS = ("none", "kill -9", *WORKER_FAULTS, "s3 slow", "s3 refuse", "s3 reset", "all")
PROCESSED = "error, none, reset, none, hang, none, error event, none, slow, none"
UNPROCESSED = "full, none, busy, none, slow, none"
IMAGES = 500
TIMEOUTS = {"SARLENS_WORKER__FIRST_TOKEN_TIMEOUT_S": "1", "SARLENS_WORKER__RESPONSE_TIMEOUT_S": "1"}
PERSISTENT = {
    "SARLENS_WORKER__BREAKER_FAILURE_THRESHOLD": "20",
    "SARLENS_WORKER__BREAKER_RESET_TIMEOUT_S": "1",
    "SARLENS_WORKER__PROBE_INTERVAL_S": "0.5",
}
"""Settings of the row "all", by which failing workers keep getting requests."""


def begin(fault: str, fleet: Fleet) -> None:
    """Start a fault of the first worker."""
    if fault == "kill -9":
        os.killpg(fleet.processes[0].pid, signal.SIGKILL)
    elif fault in WORKER_FAULTS:
        fleet.begin(0, fault)


def fail_in_turns(start: Start, fleet: Fleet) -> list[str]:
    """Start all faults of two workers; return the URLs of the workers, one of them behind a proxy."""
    fleet.begin(0, PROCESSED)
    fleet.begin(1, UNPROCESSED)
    return [behind_proxy(start, fleet.urls[0], "away"), *fleet.urls[1:]]


def behind_proxy(start: Start, url: str, fault: str) -> str:
    """Start a faulty TCP proxy in front of a server; return its URL."""
    proxy = free_port()
    command = [sys.executable, str(HERE / "fault_proxy.py"), str(proxy), url.rpartition(":")[2], fault]
    start(f"proxy-{proxy}", command, {})
    return f"http://127.0.0.1:{proxy}"


def failing_s3(start: Start, state: Path, fault: str) -> str:
    """Start an S3 server with the images behind a faulty TCP proxy; return the URL of the proxy."""
    os.environ.update(S3_CREDENTIALS)
    server = free_port()
    (state / "images").mkdir()
    for number in range(IMAGES):
        (state / "images" / f"{number}.png").write_bytes(png(number))
    s3 = start("s3", seaweedfs_command(state / "s3", server), {})
    upload_samples(s3, f"http://127.0.0.1:{server}", state / "images")
    return behind_proxy(start, f"http://127.0.0.1:{server}", fault)


def run(fault: str, requests: int, callers: int, *, real: bool) -> Results:
    """Send the requests under a fault and return their results."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        fleet = Fleet()
        if real:
            write_trained(state / "sarlens-nano")
        for _ in range(2 if real else 4):
            fleet.add_real(start, state / "sarlens-nano") if real else fleet.add(start)
        settings: dict[str, str] = {} if real else dict(TIMEOUTS)
        image: Callable[[int], str] = data_url
        midway = partial(begin, fault, fleet)
        urls = fleet.urls
        if fault.startswith("s3 "):
            settings["SARLENS_S3__ENDPOINT"] = failing_s3(start, state, fault.removeprefix("s3 "))
            image = "s3://scenes/{}.png".format
        if fault == "all":
            urls = fail_in_turns(start, fleet)
            settings |= PERSISTENT
        url, _ = sarlens(start, urls, {**settings, **S3_CREDENTIALS})
        numbers = zipf(requests, IMAGES)
        results = asyncio.run(ask_each(url, numbers, callers=callers, streams=True, midway=midway, image=image))
        if fault == "all":
            print("requests by fault, at two workers:", *fleet.counts()[:2], *results.failures[:5], file=sys.stderr)
        return results


def main() -> None:
    """Run each fault and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="requests per fault")
    parser.add_argument("--callers", type=int, default=64, help="concurrent requests")
    parser.add_argument("--faults", nargs="*", default=FAULTS, choices=FAULTS)
    parser.add_argument("--real", action="store_true", help="use two real vLLM workers and kill one of them")
    parser.add_argument("--baseline", type=Path, help="checkout of an earlier version, for the rows of fault_rows.py")
    args = parser.parse_args()
    faults = ("none", "kill -9") if args.real else args.faults
    print_machine()
    print(f"{'fault':10}{'asked':>8}{'answered':>10}{'failed before a byte':>22}{'cut midway':>12}{'slowest, s':>12}")
    for fault in faults:
        results = run(fault, args.requests, args.callers, real=args.real)
        failed = sum(count for status, count in results.statuses.items() if status != 200)
        slowest = max(seconds for _, seconds in results.seconds)
        answered = results.statuses[200] - results.cut
        print(f"{fault:10}{args.requests:>8}{answered:>10}{failed:>22}{results.cut:>12}{slowest:>12.2f}", flush=True)
    if args.baseline:
        compare(ROWS, args.baseline)


if __name__ == "__main__":
    main()
