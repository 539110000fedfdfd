"""Run a Locust load test against a local stack. Write a report and CSV files.

make load          # two minutes; writes load/report.html
make load-smoke    # twenty seconds
.venv/bin/python loadtests/load.py --shape spike --web    # web page of Locust on port 8089
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from harness import HERE
from local_stack import MODEL, LocalStack, local_stack
from mixed_client import open_client
from workload_mix import Mix

WARM_UP = 24


async def warm_up(local: LocalStack) -> None:
    """Send some requests of every type, because the first responses of a worker take seconds."""
    print("Warming up the worker.", file=sys.stderr)
    async with open_client(local.url, local.grpc, Mix(MODEL, local.scenes)) as client:
        await asyncio.gather(*(client.ask() for _ in range(WARM_UP)))


def main() -> int:
    """Start the stack, run Locust, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--shape", default="steady", help="steady, step, spike or soak")
    parser.add_argument("--out", type=Path, default=Path("load"), help="folder of the report and the CSV files")
    parser.add_argument("--web", action="store_true", help="start the web page of Locust instead of a headless run")
    args, locust_options = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        local = local_stack(stack)
        asyncio.run(warm_up(local))
        command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--host", local.url]
        command += ["--grpc", local.grpc, "--scenes", ",".join(local.scenes), "--shape", args.shape]
        command += ["--users", str(args.users), "--spawn-rate", str(args.users), "--run-time", f"{args.seconds}s"]
        command += ["--html", str(args.out / "report.html"), "--csv", str(args.out / "load"), "--csv-full-history"]
        command += [] if args.web else ["--headless", "--only-summary"]
        return subprocess.run([*command, *locust_options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
