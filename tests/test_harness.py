"""Figures of the load tests: ratios by round, the machine, and the CPU time of a process and of its children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import machine, paired, pin, run_ms, run_ms_apart, spread
from overhead import Row, ratios
from sarlens.runtime.child_process import ManagedProcess, run_process

AMD = """processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu sse2 fma avx2 avx512f notavx sha_ni

processor\t: 1
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu sse2 fma avx2 avx512f notavx sha_ni
"""
ARM = """processor\t: 0
Features\t: fp asimd sha2 sve bf16
CPU part\t: 0xd40
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
{busy}
print("ready", flush=True)
time.sleep(60)
"""
BUSY = "import time\nwhile time.process_time() < 0.35: pass"


def wait_for(log: Path, text: str) -> None:
    """Wait until a process has written a text to its log."""
    until = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_ratios_are_of_rounds_and_not_of_medians() -> None:
    """A machine of half the speed in the second round changes no ratio: 2, 2 and 4, though the medians have 3."""
    assert paired([10, 20, 12], [5, 10, 3]) == [2, 2, 4]
    assert spread(paired([10, 20, 12], [5, 10, 3]), ".1f").split() == ["2.0", "(2.0", "to", "4.0)"]
    with pytest.raises(ValueError, match="shorter"):
        paired([1, 2], [1])


def test_overhead_compares_with_each_peer_by_round(tmp_path: Path) -> None:
    """A text that costs Sarlens 4 and 9 ms where the peer needs 2 and 3 ms costs 2 and 3 times as much."""
    with run_process("idle", ["sleep", "60"], {}, tmp_path / "log") as process:
        rows = [
            Row(name, "http://x", process, body, 1, milliseconds)
            for name, body, milliseconds in (
                ("the worker itself, 1 kB", b"short", [1.0, 1.0]),
                ("Sarlens, 1 kB", b"short", [4.0, 9.0]),
                ("peer, 1 kB", b"short", [2.0, 3.0]),
                ("Sarlens, 1 MB", b"long", [1.0, 2.0]),
                ("peer, 1 MB", b"long", [2.0, 4.0]),
            )
        ]
    assert ratios(rows) == [
        "Sarlens over peer, 1 kB: 2.50  (2.00 to 3.00)",
        "Sarlens over peer, 1 MB: 0.50  (0.50 to 0.50)",
    ]


def test_the_machine_has_a_model_and_flags(tmp_path: Path) -> None:
    """The line has model, family and the flags that select code, in a fixed order, for x86-64 and for Arm."""
    (tmp_path / "cpuinfo").write_text(AMD)
    cores = os.cpu_count()
    assert machine(tmp_path / "cpuinfo") == (
        f"AMD EPYC (cpu family 25, model 17), {cores} cores; avx2 fma avx512f sha_ni"
    )
    (tmp_path / "cpuinfo").write_text(ARM)
    assert machine(tmp_path / "cpuinfo").endswith(f"(CPU part 0xd40), {cores} cores; asimd sve bf16 sha2")


@pytest.mark.parametrize("busy", ["parent", "child"])
def test_cpu_time_of_parent_and_children_is_apart(tmp_path: Path, busy: str) -> None:
    """At least 0.3 s of a busy child count as those of children, and those of a busy parent as its own."""
    child = f"{BUSY if busy == 'child' else ''}\nprint('ready', flush=True)\nimport time; time.sleep(60)"
    code = PARENT.format(child=child, busy=BUSY if busy == "parent" else "")
    log = tmp_path / "log"
    with run_process("parent", [sys.executable, "-c", code], {}, log) as process:
        wait_for(log, "ready\nready\n")
        own, children = run_ms_apart(process)
        assert run_ms(process) >= own + children
    high, low = (own, children) if busy == "parent" else (children, own)
    assert high >= 300 > low


def test_pinned_processes_have_their_cores(tmp_path: Path) -> None:
    """All threads of the process and of its children are bound to the cores, and children that start later inherit."""
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    core = max(os.sched_getaffinity(0))

    def cores(process: ManagedProcess) -> list[set[int]]:
        pids = subprocess.run(["ps", "-s", str(process.pid), "-o", "pid="], capture_output=True, text=True, check=True)
        return [os.sched_getaffinity(int(pid)) for pid in pids.stdout.split()]

    with run_process("parent", [sys.executable, "-c", code], {}, tmp_path / "log") as process:
        until = time.monotonic() + 60
        while len(cores(process)) < 2:
            assert time.monotonic() < until
        pin(process, {core})
        assert cores(process) == [{core}, {core}]
