"""Locust against everything real on this machine: S3 server, vLLM worker, gateway. Leaves a report, figures and plots.

make load          # two minutes, with load/report.html
make load-smoke    # twenty seconds
.venv/bin/python loadtests/load.py --shape spike --web    # with locust's page on port 8089
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from sarbench.nano.checkpoint import write_trained
from sarlens.seaweed import BUCKET, KEYS, fill_bucket, free_port, s3_command
from stand import HERE, sarlens, starter, vllm_worker


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
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        model, scenes = state / "sarlens-nano", state / "scenes"
        print("Starting an S3 server, a vLLM worker and a gateway.", file=sys.stderr)
        write_trained(model)
        sarbench = str(Path(sys.executable).with_name("sarbench"))
        subprocess.run([sarbench, "scenes", "--out", str(scenes)], check=True, stdout=subprocess.DEVNULL)
        os.environ.update(KEYS)
        port, rpc = free_port(), free_port()
        names = fill_bucket(start("s3", s3_command(state / "s3", port), {}), f"http://127.0.0.1:{port}", scenes)
        worker, _ = vllm_worker(start, "worker", model)
        environment = {"SARLENS_S3__ENDPOINT": f"http://127.0.0.1:{port}", "SARLENS_GRPC__PORT": str(rpc), **KEYS}
        url, _ = sarlens(start, [worker], environment)
        images = ",".join(f"s3://{BUCKET}/{name}" for name in names if name.endswith(".tif"))
        command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--host", url]
        command += ["--grpc", f"127.0.0.1:{rpc}", "--scenes", images, "--shape", given.shape]
        command += ["--users", str(given.users), "--spawn-rate", str(given.users), "--run-time", f"{given.seconds}s"]
        command += ["--html", str(given.out / "report.html"), "--csv", str(given.out / "load"), "--csv-full-history"]
        command += [] if given.web else ["--headless", "--only-summary"]
        return subprocess.run([*command, *more], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
