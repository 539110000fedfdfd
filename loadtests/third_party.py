"""The streaming surface by a client that nobody here wrote: guidellm, asking a gateway and, in turn, its worker itself.

guidellm draws a picture of noise and writes a prompt for each request, wants 32 tokens, and times every one. The worker
is a real vLLM on the CPU. guidellm lives in an environment of its own, beside the peers (``stand.PEERS``):

    python3 -m venv .local/peers/guidellm
    .local/peers/guidellm/bin/pip install torch==2.13.0 'guidellm[vision]==0.8.1'
    .venv/bin/python loadtests/third_party.py
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

from local_stack import MODEL, local_stack
from sarbench.nano.checkpoint import write_trained
from stand import PEERS, spread

FIGURES = {
    "first token, ms": ("time_to_first_token_ms", "median", 1.0),
    "first token, p99": ("time_to_first_token_ms", "p99", 1.0),
    "between tokens, ms": ("inter_token_latency_ms", "median", 1.0),
    "answer, ms": ("request_latency", "median", 1000.0),
}


def ask(url: str, tokenizer: Path, given: argparse.Namespace, seed: int, out: Path) -> dict[str, Any]:
    """Let guidellm loose on an OpenAI server; its metrics."""
    picture = f"kind=synthetic_image,width=256,height=256,format=png,content=noise,seed={seed}"
    command = [
        *(str(PEERS / "guidellm" / "bin" / "guidellm"), "run", "--disable-console"),
        *("--backend", f"kind=openai_http,target={url},model={MODEL}"),
        *("--tokenizer", f"kind=hf_auto,model={tokenizer}", "--seed", f"kind=static,value={seed}"),
        *("--data", "kind=synthetic_text,prompt_tokens=16,output_tokens=32", "--data", picture),
        *("--profile", f"kind=concurrent,streams={given.streams}"),
        *("--constraint", f"kind=max_requests,count={given.requests}", "--output", f"kind=json,path={out}"),
    ]
    ended = subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr.decode()[-2000:])
    metrics: dict[str, Any] = json.loads(out.read_text())["benchmarks"][0]["metrics"]
    return metrics


def figure(metrics: dict[str, Any], name: str, what: str) -> float:
    """A median or a percentile of the requests that were answered."""
    told = metrics[name]["successful"]
    return float(told[what] if what in told else told["percentiles"][what])


def main() -> None:
    """Start everything, ask in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=40, help="of each round and row")
    parser.add_argument("--streams", type=int, default=2, help="requests at the same time")
    given = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {"the worker itself": [], "Sarlens": []}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_trained(state / MODEL)
        parts = local_stack(stack)
        # Round 0 warms both up by way of the gateway; it does not count.
        for number in range(given.rounds + 1):
            for place, (name, url) in enumerate(zip(rows, (parts.worker_url, parts.url), strict=True)):
                if not number and url == parts.worker_url:
                    continue
                metrics = ask(url, state / MODEL, given, 100 * number + place, state / "guidellm.json")
                totals = metrics["request_totals"]
                print(f"round {number}: {name}: {totals}", file=sys.stderr)
                rows[name] += [metrics] if number else []
    print(f"{'':20}answered, failed  " + "".join(f"{name:30}" for name in FIGURES))
    for name, rounds in rows.items():
        counts = [sum(each["request_totals"][key] for each in rounds) for key in ("successful", "errored")]
        values = (
            spread([scale * figure(each, metric, what) for each in rounds], ".1f")
            for metric, what, scale in FIGURES.values()
        )
        print(f"{name:20}{counts[0]:>8},{counts[1]:>7}  " + "".join(f"{value:30}" for value in values))


if __name__ == "__main__":
    main()
