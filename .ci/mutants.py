#!/usr/bin/env python3
"""Mutation tests of the modules that count, limit and choose, with mutmut.

Changes one expression at a time in a copy of a module, and runs the module's tests. A change that no test notices is a
survivor. mutmut requires sources in ``src/``, so this script works in a copy of the repository in ``mutants/``.

    .ci/mutants.py                     # all modules; takes about an hour on two cores
    .ci/mutants.py rate_limit pool     # some
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "mutants"
FAST = "not vllm and not s3 and not prometheus"
CONFIG = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = {sources}
do_not_mutate_patterns = ['\\blog\\.', 'raise \\w+\\(']
also_copy = ["loadtests", "tests"]
process_isolation = "forkserver"
pytest_add_cli_args = ["-m", "{fast}", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
"""


@dataclass(frozen=True)
class Module:
    """A module to change, below ``service/sarlens``, and the tests that must notice."""

    sources: list[str]
    tests: list[str]


MODULES = {
    "usage": Module(
        ["api/common/usage.py", "workers/event_stream.py"],
        ["tests/api/common/test_usage.py", "tests/workers/test_event_stream.py"],
    ),
    "accept": Module(["api/common/accept.py"], ["tests/api/common/test_accept.py"]),
    "request": Module(
        [
            "api/app/middlewares.py",
            "api/common/drain.py",
            "api/common/error_responses.py",
            "api/common/request_context.py",
            "api/common/request_recorder.py",
            "api/grpc/call_context.py",
        ],
        [
            "tests/api/app/test_middlewares.py",
            "tests/api/common/test_error_responses.py",
            "tests/api/common/test_request_context.py",
            "tests/api/grpc/test_call_context.py",
        ],
    ),
    "concurrency": Module(["admission/concurrency.py", "admission/fair_queue.py"], ["tests/admission"]),
    "rate_limit": Module(["admission/rate_limit.py"], ["tests/admission"]),
    "pool": Module(
        ["workers/pool.py", "workers/worker.py", "workers/health.py"],
        [
            "tests/workers/test_pool.py",
            "tests/workers/test_worker.py",
            "tests/workers/test_health.py",
            "tests/workers/test_monitor.py",
        ],
    ),
    "known_images": Module(["workers/known_images.py"], ["tests/workers/test_known_images.py"]),
    "dispatcher": Module(
        ["inference/dispatcher.py", "inference/failover.py", "inference/request_sender.py"],
        ["tests/inference/test_dispatcher.py", "tests/inference/test_failover.py"],
    ),
    "tenancy": Module(
        ["chat/content_parts.py", "chat/restricted_fields.py"],
        ["tests/chat/test_content_parts.py", "tests/chat/test_restricted_fields.py", "tests/chat/test_parse.py"],
    ),
    "hedging": Module(["workers/hedging.py"], ["tests/workers"]),
    "tiff": Module(["imagery/formats/tiff.py", "imagery/formats/tiff_dataset.py"], ["tests/imagery"]),
}


def prepare(module: Module) -> None:
    """Copy the repository into ``mutants/``, with ``service`` as ``src`` and mutmut's configuration."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    shutil.copytree(ROOT / "service", WORK / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tests", "loadtests"):
        shutil.copytree(ROOT / folder, WORK / folder, ignore=shutil.ignore_patterns("__pycache__"))
    project = (ROOT / "pyproject.toml").read_text().replace('pythonpath = ["service"', 'pythonpath = ["src"')
    sources = json.dumps([f"src/sarlens/{source}" for source in module.sources])
    config = CONFIG.format(sources=sources, fast=FAST, tests=json.dumps(module.tests))
    (WORK / "pyproject.toml").write_text(project + config)


def run(name: str, module: Module, processes: int) -> tuple[int, int]:
    """Return the numbers of killed and of all changes, and write the survivors to ``mutants-NAME.txt``."""
    prepare(module)
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "run", "--max-children", str(processes)], cwd=WORK, check=True)
    results = subprocess.run([*mutmut, "results"], cwd=WORK, check=True, capture_output=True, text=True).stdout
    (ROOT / f"mutants-{name}.txt").write_text(results)
    subprocess.run([*mutmut, "export-cicd-stats"], cwd=WORK, check=True, capture_output=True)
    stats = json.loads((WORK / "mutants/mutmut-cicd-stats.json").read_text())
    return stats["killed"] + stats["timeout"], stats["total"] - stats["skipped"]


def main() -> None:
    """Run the named modules, and print a table of scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", choices=[[], *MODULES], help="default: all")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    rows = []
    for name in args.modules or MODULES:
        killed, total = run(name, MODULES[name], args.processes)
        rows.append(f"| `{name}` | {killed} | {total} | {100 * killed / max(total, 1):.0f} % |")
    print("| module | killed | mutants | score |\n|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
