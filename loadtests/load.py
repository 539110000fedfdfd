"""Locust against everything real on this machine: S3 server, vLLM worker, gateway. Leaves a report, figures and plots.

make load          # two minutes, with load/report.html
make load-smoke    # twenty seconds
.venv/bin/python loadtests/load.py --shape spike --web    # with locust's page on port 8089
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from local_stack import MODEL, LocalStack, local_stack
from mix import Mix
from querent import open_querent
from stand import HERE

WARM_UP = 24


async def warm_up(parts: LocalStack) -> None:
    """Ask a little of everything: the first answers of a worker take seconds, and would be a short run's slowest."""
    print("Warming up.", file=sys.stderr)
    async with open_querent(parts.url, parts.grpc, Mix(MODEL, parts.scenes)) as querent:
        await asyncio.gather(*(querent.ask() for _ in range(WARM_UP)))


def main() -> int:
    """Start the stack, let locust loose; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--shape", default="steady", help="steady, step, spike or soak")
    parser.add_argument("--out", type=Path, default=Path("load"), help="where the report and the figures go")
    parser.add_argument("--web", action="store_true", help="with locust's page instead of headless")
    given, more = parser.parse_known_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parts = local_stack(stack)
        asyncio.run(warm_up(parts))
        command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--host", parts.url]
        command += ["--grpc", parts.grpc, "--scenes", ",".join(parts.scenes), "--shape", given.shape]
        command += ["--users", str(given.users), "--spawn-rate", str(given.users), "--run-time", f"{given.seconds}s"]
        command += ["--html", str(given.out / "report.html"), "--csv", str(given.out / "load"), "--csv-full-history"]
        command += [] if given.web else ["--headless", "--only-summary"]
        return subprocess.run([*command, *more], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
