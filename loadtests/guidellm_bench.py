"""Streaming benchmark by an independent client: guidellm against a gateway and, in turn, against its worker.

guidellm sends an image of noise and a random prompt per request, requests 32 tokens, and times each token. The worker
is vLLM on the CPU. guidellm has its own environment in the folder of the peers (``harness.PEERS``):

    python3 -m venv .local/peers/guidellm
    .local/peers/guidellm/bin/pip install torch==2.13.0 'guidellm[vision]==0.8.1'
    .venv/bin/python loadtests/guidellm_bench.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import PEERS, print_machine, spread
from local_stack import MODEL, local_stack
from sarbench.nano.checkpoint import write_trained

FIGURES = {
    "first token, ms": ("time_to_first_token_ms", "median", 1.0),
    "first token, p99": ("time_to_first_token_ms", "p99", 1.0),
    "between tokens, ms": ("inter_token_latency_ms", "median", 1.0),
    "answer, ms": ("request_latency", "median", 1000.0),
}


def ask(url: str, tokenizer: Path, args: argparse.Namespace, seed: int, out: Path) -> dict[str, Any]:
    """Run guidellm against an OpenAI server and return its metrics."""
    image = f"kind=synthetic_image,width=256,height=256,format=png,content=noise,seed={seed}"
    command = [
        *(str(PEERS / "guidellm" / "bin" / "guidellm"), "run", "--disable-console"),
        *("--backend", f"kind=openai_http,target={url},model={MODEL}"),
        *("--tokenizer", f"kind=hf_auto,model={tokenizer}", "--seed", f"kind=static,value={seed}"),
        *("--data", "kind=synthetic_text,prompt_tokens=16,output_tokens=32", "--data", image),
        *("--profile", f"kind=concurrent,streams={args.streams}"),
        *("--constraint", f"kind=max_requests,count={args.requests}", "--output", f"kind=json,path={out}"),
    ]
    process = subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr.decode()[-2000:])
    metrics: dict[str, Any] = json.loads(out.read_text())["benchmarks"][0]["metrics"]
    return metrics


def figure(metrics: dict[str, Any], name: str, statistic: str) -> float:
    """Return the median or a percentile of a metric over the successful requests."""
    values = metrics[name]["successful"]
    return float(values[statistic] if statistic in values else values["percentiles"][statistic])


def main() -> None:
    """Start all processes, run guidellm in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=40, help="requests per round and row")
    parser.add_argument("--streams", type=int, default=2, help="concurrent requests")
    args = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {"the worker itself": [], "Sarlens": []}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_trained(state / MODEL)
        parts = local_stack(stack)
        # Round 0 warms up both through the gateway and isn't counted.
        for number in range(args.rounds + 1):
            for index, (name, url) in enumerate(zip(rows, (parts.worker_url, parts.url), strict=True)):
                if not number and url == parts.worker_url:
                    continue
                metrics = ask(url, state / MODEL, args, 100 * number + index, state / "guidellm.json")
                totals = metrics["request_totals"]
                print(f"round {number}: {name}: {totals}", file=sys.stderr)
                rows[name] += [metrics] if number else []
    print_machine()
    print(f"{'':20}answered, failed  " + "".join(f"{name:30}" for name in FIGURES))
    for name, rounds in rows.items():
        counts = [sum(metrics["request_totals"][key] for metrics in rounds) for key in ("successful", "errored")]
        values = (
            spread([scale * figure(metrics, metric, statistic) for metrics in rounds], ".1f")
            for metric, statistic, scale in FIGURES.values()
        )
        print(f"{name:20}{counts[0]:>8},{counts[1]:>7}  " + "".join(f"{value:30}" for value in values))


if __name__ == "__main__":
    main()
