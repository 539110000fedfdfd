#!/usr/bin/env python3
"""Mutation tests of the modules that count, limit and choose.

Changes one expression at a time in a module, and runs the tests of the module. A change that no test notices is a
survivor. ``mutants.toml`` lists the modules with their tests, and the changes that no test can notice.

    .ci/mutants.py                          # all modules
    .ci/mutants.py rate_limit pool          # some
    .ci/mutants.py dispatcher --sample 100  # 100 random changes of a large module
    .ci/mutants.py pool --survivors         # what survived the last run, after you add a test

Each module leaves its survivors in ``mutants/NAME.txt`` and the output of its tests in ``mutants/NAME.N.log``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "service/sarlens"
OUTPUT = ROOT / "mutants"
CONFIG = tomllib.loads((ROOT / ".ci/mutants.toml").read_text())
MODULES: dict[str, dict[str, list[str]]] = CONFIG["modules"]
EQUIVALENT = {
    (entry["source"], entry["function"], change)
    for entry in CONFIG.get("equivalent", [])
    for change in entry["changes"]
}
"""Changes that don't change what a caller can see."""


@dataclass(frozen=True)
class Score:
    """Results of the mutants of a module."""

    mutants: dict[str, dict[str, str]]
    """All mutants of the module by name."""
    results: dict[str, dict[str, str]]
    """Results of the mutants that ran, without equivalent ones."""

    def __str__(self) -> str:
        """``killed k of n``, and of how many the n are a sample."""
        statuses = Counter(result["status"] for result in self.results.values())
        killed, tried = statuses["killed"] + statuses["timeout"], len(self.results)
        total = sum(not is_equivalent(mutant) for mutant in self.mutants.values())
        sampled = "" if tried == total else f" sampled of {total}"
        share = f"{100 * killed / max(tried, 1):.0f} %"
        return f"killed {killed} of {tried}{sampled} ({share}), {len(self.mutants) - total} equivalent"

    def survivors(self) -> str:
        """Return a line for each mutant that no test killed."""
        lines = []
        for key, result in self.results.items():
            mutant = self.mutants[key]
            if result["status"] in {"survived", "untested"}:
                lines.append(f"{key} {result['status']} {mutant['source']} {mutant['function']}: {mutant['change']}\n")
        return "".join(lines)


def is_equivalent(mutant: dict[str, str]) -> bool:
    """Return whether no test can notice a mutant."""
    return (mutant["source"], mutant["function"], mutant["change"]) in EQUIVALENT


def run(name: str, args: argparse.Namespace) -> Score:
    """Run the mutants of a module, and write the survivors to ``mutants/NAME.txt``."""
    OUTPUT.mkdir(exist_ok=True)
    listed = OUTPUT / f"{name}.txt"
    names = [line.split()[0] for line in listed.read_text().splitlines()] if args.survivors else None
    job = MODULES[name] | {"package": str(PACKAGE), "names": names, "sample": args.sample, "seed": args.seed}
    jobs = [
        job | {"shard": [shard, args.processes], "log": str(OUTPUT / f"{name}.{shard}.log")}
        for shard in range(args.processes)
    ]
    with ThreadPoolExecutor(args.processes) as pool:
        scores = list(pool.map(run_job, jobs))
    results = {key: result for score in scores for key, result in score.results.items()}
    score = Score(scores[0].mutants, results)
    listed.write_text(score.survivors())
    return score


def run_job(job: dict[str, Any]) -> Score:
    """Run the mutants of one process.

    Raises:
        SystemExit: a test fails without a mutant.
    """
    command = [sys.executable, str(ROOT / ".ci/mutant_runner.py"), json.dumps(job)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        first = runner.stdout.readline()
        mutants = {mutant["key"]: mutant for mutant in json.loads(first or "[[], 0]")[0]}
        results = {}
        for line in runner.stdout:
            result = json.loads(line)
            mutant = mutants[result["mutant"]]
            if not is_equivalent(mutant):
                results[result["mutant"]] = result
            print(
                result["status"],
                result["seconds"],
                mutant["source"],
                mutant["function"],
                mutant["change"][:300],
                file=sys.stderr,
            )
    if runner.returncode:
        sys.exit(f"The tests fail without a mutant: see {job['log']}")
    return Score(mutants, results)


def main() -> None:
    """Run the named modules, and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", choices=[[], *MODULES], help="default: all")
    parser.add_argument("--sample", type=int, help="number of random mutants of a module; default: all mutants")
    parser.add_argument("--seed", type=int, default=17, help="seed of the sample (default: %(default)s)")
    parser.add_argument("--survivors", action="store_true", help="only mutants that survived the last run")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    scores = {name: run(name, args) for name in args.modules or MODULES}
    if args.sample:
        print(f"seed {args.seed}")
    for name, score in scores.items():
        print(f"{name}: {score}")


if __name__ == "__main__":
    main()
